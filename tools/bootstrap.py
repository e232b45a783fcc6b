"""Makes this project's virtual environments; the Makefile calls it.

    python3 tools/bootstrap.py {course,tests,site,kernels,colab} [--torch {auto,cpu,default}]

Needs nothing but Python. The environment holds a record: first that installing has begun, last
what was installed. An unchanged environment is left alone; one whose installation was interrupted,
at whatever moment, or from which something was deleted since, is made anew.
"""

import sys

# Before anything else, and in words that Python 3.6 can read.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "{} is Python {}.{}; the course needs 3.11 or newer. Install one (python.org has them) "
        "and name it: make lab PYTHON=python3.12".format(sys.executable, *sys.version_info)
    )

import argparse
import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

ROOT = Path(__file__).resolve().parent.parent

ENVIRONMENTS = {
    "course": (".venv", ["requirements.txt"]),
    "tests": (".venv", ["requirements.txt", "tests/requirements.txt"]),
    "site": (".venv-site", ["requirements.txt", "docs/requirements.txt"]),
    "kernels": (".venv-kernels", ["tests/requirements-kernels.txt"]),
    "colab": (".venv-colab", ["tests/requirements-colab.txt"]),
}

RECORD = "installed.json"

# On Linux, PyPI's torch brings gigabytes of CUDA; this index has the build without.
CPU_TORCH = "https://download.pytorch.org/whl/cpu"

# What pip's last lines say, and what to tell a person. The first that is found counts.
TROUBLES = [
    (
        r"No space left on device|Errno 28|not enough space on the disk",
        "The disk is full. The course needs about 2 GB, with CUDA several more: make room and run "
        "the same command again.",
    ),
    (
        r"ConnectionError|NameResolutionError|Failed to establish a new connection"
        r"|ConnectTimeout|[Tt]imed out|Connection refused|Connection reset|ProxyError|SSLError"
        r"|CERTIFICATE_VERIFY_FAILED",
        "pip could not reach the package index. Connect to the network (behind a proxy, set "
        "HTTPS_PROXY) and run the same command again; finished downloads are kept.",
    ),
    (
        r"No matching distribution found for (?P<what>\S+)",
        "The package index does not offer {what} for Python {python}. Try another Python, "
        "3.11 to 3.14: make clean, then make lab PYTHON=python3.12",
    ),
]


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def python_version(python: Path) -> str | None:
    """Returns the version that an interpreter says it is, None when it does not run."""
    try:
        code = "import platform; print(platform.python_version())"
        return subprocess.check_output([python, "-c", code], text=True, timeout=60).strip()
    except (OSError, subprocess.SubprocessError):
        return None


def read_record(venv: Path) -> dict[str, Any]:
    try:
        record = json.loads((venv / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(venv: Path, record: dict[str, Any]) -> None:
    part = venv / (RECORD + ".part")
    part.write_text(json.dumps(record, indent=1))
    os.replace(part, venv / RECORD)


def contents(venv: Path) -> list[str]:
    """Returns what lies in the folder of an environment's packages, except their versions."""
    folders = [*venv.glob("lib/*/site-packages"), *venv.glob("Lib/site-packages")]
    names = {path.name for folder in folders for path in folder.iterdir()}
    return sorted(name for name in names if not name.endswith(".dist-info") and name[0] not in "_~")


def why_new(venv: Path, record: dict[str, Any]) -> str | None:
    """Says why an environment has to be made from nothing, None when the one there will do."""
    if not venv.exists():
        return "it is not there yet"
    version = python_version(venv_python(venv))
    if version is None:
        return "its Python does not run"
    if tuple(map(int, version.split(".")[:2])) < (3, 11):
        return f"it has Python {version}"
    if record.get("installing"):
        return "the last installation was interrupted"
    if record and (record["python"], record["folder"]) != (version, str(venv)):
        return "its Python was replaced or the folder moved"
    for name in ["pip", *record.get("contents", [])]:
        if name not in contents(venv):
            return f"{name} is missing"
    return None


def lock(file: IO[str]) -> bool:
    """Locks an open file; returns False while another process holds it.

    The system unlocks it when that process ends, even if it is killed.
    """
    if sys.platform == "win32":
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: one has to do without
        pass
    return True


@contextmanager
def alone(venv: Path) -> Iterator[None]:
    """Waits until no other command makes this environment, and keeps others waiting meanwhile."""
    with venv.with_name(venv.name + ".lock").open("a") as file:
        if sys.platform != "win32":
            # What is started with close_fds=False holds the lock, too: a pip that outlives this
            # process is waited for.
            os.set_inheritable(file.fileno(), True)
        if not lock(file):
            print(f"Another command is making {venv.name}; this one waits for it.", flush=True)
            while not lock(file):
                time.sleep(0.2)
        yield


def create(venv: Path) -> None:
    """Makes an environment in place of what is there; from here on its record says so."""
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            "This Python cannot make virtual environments. On Debian and Ubuntu: "
            "sudo apt install python3-venv, then run the same command again."
        )
    venv.mkdir(exist_ok=True)
    write_record(venv, {"installing": True})
    for path in venv.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != RECORD:
            path.unlink()
    # The base interpreter: the one running may belong to the environment that was cleared.
    python = getattr(sys, "_base_executable", sys.executable)
    made = subprocess.run([python, "-m", "venv", venv], check=False, close_fds=False)
    if made.returncode:
        sys.exit(f"Could not make {venv} (the lines above say why). Is the folder writable?")


def has_nvidia_gpu() -> bool:
    try:
        seen = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return seen.returncode == 0


def answers(url: str, seconds: float = 5) -> bool:
    """Tells whether a server answers; in a thread, as looking up its name knows no time limit."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds):
                answered.set()
        except (OSError, ValueError):
            pass

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(seconds)


def torch_index(choice: str) -> list[str]:
    """Returns the pip options that choose the build of torch."""
    auto = choice == "auto" and sys.platform == "linux"
    if choice == "cpu" or (auto and not has_nvidia_gpu() and answers(CPU_TORCH + "/torch/")):
        print("Taking torch for the CPU (another choice: TORCH=default).", flush=True)
        return ["--extra-index-url", CPU_TORCH]
    return []


def pip_install(venv: Path, *arguments: str) -> None:
    log = venv / "install.log"
    log.unlink(missing_ok=True)
    pip = [
        str(venv_python(venv)),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command = [*pip, "--log", str(log), *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, close_fds=False)
    if done.returncode:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        sys.exit(explain("\n".join(lines[-60:]), log))


def explain(tail: str, log: Path) -> str:
    """Turns the last lines of pip's log into one sentence with a way out."""
    for pattern, sentence in TROUBLES:
        match = re.search(pattern, tail)
        if match:
            version = ".".join(map(str, sys.version_info[:2]))
            return sentence.format(python=version, **match.groupdict())
    return f"pip failed; its last lines are above, all of them in {log}."


def prepare(name: str, torch: str) -> None:
    folder, requirements = ENVIRONMENTS[name]
    venv = ROOT / folder
    files = {
        file: hashlib.sha256((ROOT / file).read_bytes()).hexdigest()
        for file in [*requirements, "pyproject.toml"]
    }

    def up_to_date() -> bool:
        record = read_record(venv)
        return why_new(venv, record) is None and files.items() <= record.get("files", {}).items()

    if not up_to_date():  # for which nothing has to be written
        with alone(venv):
            if not up_to_date():  # the other command may have made it
                install(venv, requirements, files, torch)
                return
    print(f"{folder} is up to date.", flush=True)


def install(venv: Path, requirements: list[str], files: dict[str, str], torch: str) -> None:
    folder = venv.name
    record = read_record(venv)
    reason = why_new(venv, record)
    if reason is not None:
        print(f"Making {folder} with Python {sys.version.split()[0]}: {reason}.", flush=True)
        record = {}
        create(venv)
    print(f"Installing {' and '.join(requirements)} into {folder}.", flush=True)
    write_record(venv, {"installing": True})
    try:
        options = [option for file in requirements for option in ("-r", file)]
        pip_install(venv, *torch_index(torch), *options)
        pip_install(venv, "--no-deps", "--no-build-isolation", "-e", ".")
    except SystemExit:
        # pip undoes what it began: what was usable before stays usable.
        write_record(venv, record)
        raise
    version = python_version(venv_python(venv))
    what = {"python": version, "folder": str(venv), "files": files, "contents": contents(venv)}
    write_record(venv, what)
    print(f"{folder} is ready.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("environment", choices=ENVIRONMENTS)
    parser.add_argument("--torch", choices=["auto", "cpu", "default"], default="auto")
    arguments = parser.parse_args()
    try:
        prepare(arguments.environment, arguments.torch)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. The same command starts over; finished downloads are kept.")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            sys.exit(TROUBLES[0][1])
        sys.exit(f"{error}. Is the folder writable?")


if __name__ == "__main__":
    main()
