"""What draws in the tests."""

import torch


def seeded(seed: int = 0) -> torch.Generator:
    """A generator on the CPU, also where a test makes another device the default."""
    return torch.Generator("cpu").manual_seed(seed)
