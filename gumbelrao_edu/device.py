"""Where to compute."""

from __future__ import annotations

import torch


def default_device() -> torch.device:
    """The GPU when there is one (CUDA, then Apple's MPS), else the CPU.

    Returns:
        A `torch.device`; nothing is changed globally.

    Example:
        >>> default_device().type in {"cuda", "mps", "cpu"}
        True
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
