"""A server of small stand-ins for the published data, and an empty folder to download to."""

from __future__ import annotations

import gc
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from seeded import seeded

from gumbelrao_edu.listops import data as listops
from gumbelrao_edu.vae import data as digits


class Server:
    """Serves bytes by file name over HTTP; `answer` may be replaced to misbehave."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.requests: list[str] = []
        self.answer: Callable[[int, str], tuple[int, int, bytes]] = self.right

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                name = handler.path.rpartition("/")[2]
                self.requests.append(name)
                status, length, body = self.answer(self.requests.count(name), name)
                handler.send_response(status)
                handler.send_header("Content-Length", str(length))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(handler, *arguments: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"

    def right(self, attempt: int, name: str) -> tuple[int, int, bytes]:
        return 200, len(self.files[name]), self.files[name]

    def broken(self, attempt: int, name: str) -> tuple[int, int, bytes]:
        return 200, len(self.files[name]), self.files[name][::-1]

    def truncated(self, attempt: int, name: str) -> tuple[int, int, bytes]:
        return 200, len(self.files[name]), self.files[name][:-10]

    def shortened(self, attempt: int, name: str) -> tuple[int, int, bytes]:
        return 200, len(self.files[name]) - 10, self.files[name][:-10]

    def missing(self, attempt: int, name: str) -> tuple[int, int, bytes]:
        return 404, 0, b""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder; retries do not wait."""
    monkeypatch.setenv("GUMBELRAO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    yield tmp_path / "data"
    gc.collect()  # here, where its warning is expected


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Small sets of the same form in place of the real ones."""
    mnist, generator = {}, np.random.default_rng(0)
    for name, size in zip(digits.SHA256, (6, 3, 2), strict=True):
        images = generator.integers(0, 2, (size, 784), dtype=np.uint8)
        savemat(tmp_path / name, {"X": images}, appendmat=False)
        mnist[name] = (tmp_path / name).read_bytes()
    examples = listops.generate(96, generator=seeded())
    lines = [f"{listops.format_line(example)}\n".encode() for example in examples]
    train, test = b"".join(lines[:90]), b"".join(lines[90:])
    blob = hashlib.sha1(b"blob " + str(len(train)).encode() + b"\0" + train).hexdigest()

    server = Server({**mnist, "train_d20s.tsv": train, "test_d20s.tsv": test})
    for data in (digits, listops):
        monkeypatch.setattr(data, "BASE_URL", server.url)
    monkeypatch.setattr(digits, "SHA256", {name: sha256(body) for name, body in mnist.items()})
    monkeypatch.setattr(
        listops, "HASHES", {"train_d20s.tsv": f"git:{blob}", "test_d20s.tsv": sha256(test)}
    )
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
