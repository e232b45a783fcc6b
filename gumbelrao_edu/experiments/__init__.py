"""The paper's experiments: one training loop, and the command line."""
