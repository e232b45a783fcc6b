"""The training loop, grids of runs that resume, and the files that both write."""
