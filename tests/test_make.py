"""The commands of the Makefile: what they do the first time, the second time, and when it fails."""

import ast
import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT
from jupyter_client import BlockingKernelClient, KernelManager

from notebooks import KERNELSPEC, read_script

SOURCE = ROOT / "tools/bootstrap.py"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="make is not a tool of Windows")


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # What an outer make exported would change what an inner one does.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env={**inherited, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the same shape whose environment holds almost nothing."""
    for name in ("tools", "tests", "notebooks", "benchmarks"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(SOURCE, tmp_path / "tools")
    (tmp_path / "requirements.txt").write_text("some-package==1.0\n")
    (tmp_path / "tests/requirements.txt").write_text("some-tool==1.0\n")
    (tmp_path / "tests/requirements-colab.txt").write_text("some-package==0.1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return tmp_path


class Bootstrap:
    """tools/bootstrap.py with pip and venv replaced by a record of what was asked of them."""

    def __init__(self, project: Path) -> None:
        self.functions = runpy.run_path(str(project / "tools/bootstrap.py"))
        self.venv = project / ".venv"
        self.calls: list[str] = []
        self.fail: BaseException | None = None
        # What prepare() looks up when it runs.
        self.functions["prepare"].__globals__.update(
            create=self.create, pip_install=self.pip, torch_index=lambda choice: []
        )

    def create(self, venv: Path) -> None:
        self.calls.append("create")
        shutil.rmtree(venv, ignore_errors=True)
        (venv / "bin").mkdir(parents=True)
        (venv / "bin/python").symlink_to(sys.executable)
        packages = venv / "lib/python3/site-packages"
        for name in ("pip", "some_package", "some_package-1.0.dist-info"):
            (packages / name).mkdir(parents=True)

    def pip(self, venv: Path, *arguments: str) -> None:
        if self.fail:
            raise self.fail
        self.calls.append(" ".join(arguments))

    def prepare(self, name: str) -> list[str]:
        """Returns what was done, in order."""
        self.calls = []
        try:
            self.functions["prepare"](name, "auto")
        except BaseException:
            if not self.fail:
                raise
        return self.calls


# Parts of the time that it takes to make an environment.
KILLED_AT = [float(part) for part in os.environ.get("GUMBELRAO_KILLS", "0.1 0.5").split()]

PACKAGE = "--no-deps --no-build-isolation -e ."
COURSE = ["-r requirements.txt", PACKAGE]
TESTS = ["-r requirements.txt -r tests/requirements.txt", PACKAGE]


@pytest.fixture
def bootstrap(project: Path) -> Bootstrap:
    return Bootstrap(project)


def test_the_second_time_does_nothing(
    bootstrap: Bootstrap, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bootstrap.prepare("course") == ["create", *COURSE]
    said = capsys.readouterr().out
    assert "it is not there yet" in said
    assert ".venv is ready" in said
    assert bootstrap.prepare("course") == []
    assert capsys.readouterr().out == ".venv is up to date.\n"


def test_the_course_is_part_of_what_the_tests_need(bootstrap: Bootstrap) -> None:
    assert bootstrap.prepare("course") == ["create", *COURSE]
    assert bootstrap.prepare("tests") == TESTS
    assert bootstrap.prepare("course") == []
    assert bootstrap.prepare("tests") == []


@pytest.mark.parametrize("file", ["requirements.txt", "pyproject.toml"])
def test_a_change_is_installed_once(bootstrap: Bootstrap, project: Path, file: str) -> None:
    bootstrap.prepare("course")
    (project / file).write_text("# changed\n")
    assert bootstrap.prepare("course") == COURSE
    assert bootstrap.prepare("course") == []


def test_an_interrupted_installation_is_started_over(bootstrap: Bootstrap) -> None:
    bootstrap.fail = KeyboardInterrupt()
    assert bootstrap.prepare("course") == ["create"]
    bootstrap.fail = None
    assert bootstrap.prepare("course") == ["create", *COURSE]
    assert bootstrap.prepare("course") == []


def test_a_failed_update_leaves_what_was_usable(bootstrap: Bootstrap, project: Path) -> None:
    """As when a class pulls the newest version and the network is gone."""
    bootstrap.prepare("course")
    before = (bootstrap.venv / "installed.json").read_text()
    kept = (project / "requirements.txt").read_text()
    (project / "requirements.txt").write_text("other-package==2.0\n")
    bootstrap.fail = SystemExit("no network")
    assert bootstrap.prepare("course") == []
    assert json.loads((bootstrap.venv / "installed.json").read_text()) == json.loads(before)
    (project / "requirements.txt").write_text(kept)
    bootstrap.fail = None
    assert bootstrap.prepare("course") == []


def test_a_moved_folder_is_made_anew(bootstrap: Bootstrap, project: Path) -> None:
    bootstrap.prepare("course")
    moved = Bootstrap(project.rename(project.with_name("elsewhere")))
    assert moved.prepare("course") == ["create", *COURSE]


def test_an_environment_whose_python_is_gone_is_made_anew(bootstrap: Bootstrap) -> None:
    bootstrap.prepare("course")
    (bootstrap.venv / "bin/python").unlink()
    assert bootstrap.prepare("course") == ["create", *COURSE]


def test_an_environment_made_by_hand_is_kept(bootstrap: Bootstrap) -> None:
    bootstrap.create(bootstrap.venv)
    assert bootstrap.prepare("course") == COURSE


@pytest.mark.parametrize("name", ["pip", "some_package"])
def test_an_environment_from_which_something_was_deleted_is_made_anew(
    bootstrap: Bootstrap, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    bootstrap.prepare("course")
    shutil.rmtree(bootstrap.venv / "lib/python3/site-packages" / name)
    assert bootstrap.prepare("course") == ["create", *COURSE]
    assert f"{name} is missing" in capsys.readouterr().out


def test_another_version_installed_by_hand_is_kept(bootstrap: Bootstrap) -> None:
    bootstrap.prepare("course")
    packages = bootstrap.venv / "lib/python3/site-packages"
    (packages / "some_package-1.0.dist-info").rename(packages / "some_package-2.0.dist-info")
    assert bootstrap.prepare("course") == []


# Makes an environment with the real venv, and asks the real pip in place of installing with it.
PREPARE = """
import runpy, subprocess
functions = runpy.run_path("tools/bootstrap.py")
def pip(venv, *arguments):
    subprocess.run([functions["venv_python"](venv), "-m", "pip", "--version"], check=True)
functions["prepare"].__globals__.update(pip_install=pip, torch_index=lambda choice: [])
functions["prepare"]("course", "cpu")
"""


def prepare_for(project: Path, seconds: float) -> str | None:
    """Prepares for so long, then kills it with all that it started; returns what it said."""
    command = [sys.executable, "-c", PREPARE]
    process = subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    assert process.returncode == 0
    return said


@pytest.mark.timeout(300)
def test_what_is_killed_at_any_moment_is_started_over(project: Path) -> None:
    start = time.monotonic()
    assert ".venv is ready." in (prepare_for(project, 120) or "")
    whole = time.monotonic() - start
    for part in KILLED_AT:
        shutil.rmtree(project / ".venv")
        prepare_for(project, part * whole)
        again = prepare_for(project, 120) or ""
        assert ".venv is ready." in again or ".venv is up to date." in again
        assert prepare_for(project, 120) == ".venv is up to date.\n"


# Installs with a program that notes that it has begun, and goes on when it is told to.
SLOWLY = """
import os, runpy, sys
from pathlib import Path
functions = runpy.run_path("tools/bootstrap.py")
def create(venv):
    print("pip may end:", Path("go").exists(), flush=True)
    (venv / "lib/python3/site-packages/pip").mkdir(parents=True, exist_ok=True)
functions["prepare"].__globals__.update(
    create=create,
    venv_python=lambda venv: Path("slow-python").resolve(),
    torch_index=lambda choice: [],
)
functions["prepare"]("course", "cpu")
"""
SLOW_PYTHON = f"""#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} "$@"
touch began
while [ ! -e go ]; do sleep 0.1; done
"""
WAITS = "Another command is making .venv; this one waits for it.\n"


@contextmanager
def preparing(project: Path) -> Iterator[subprocess.Popen[str]]:
    (project / "slow-python").write_text(SLOW_PYTHON)
    (project / "slow-python").chmod(0o755)
    command = [sys.executable, "-c", SLOWLY]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        (project / "go").touch()
        process.kill()
        process.communicate()


def appears(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_command_waits(project: Path, killed: bool) -> None:
    """For the first one, and if that is killed, for the pip that it had started."""
    with preparing(project) as first:
        appears(project / "began")
        if killed:
            first.kill()
            first.wait()
        with preparing(project) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == WAITS
            (project / "go").touch()
            said = second.communicate(timeout=60)[0].splitlines()
    if killed:
        assert "the last installation was interrupted" in said[0]
        assert said[1] == "pip may end: True"
        assert said[-1] == ".venv is ready."
    else:
        assert said == [".venv is up to date."]


# What pip wrote in each case, and what a person is told.
@pytest.mark.parametrize(
    ("tail", "told"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
            "'<pip>: Failed to establish a new connection: [Errno -3] Temporary failure in name "
            "resolution')': /simple/six/\nERROR: No matching distribution found for six==1.17.0",
            "Connect to the network",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on "
            "device",
            "The disk is full",
        ),
        (
            "ERROR: No matching distribution found for torch==2.13.0",
            "does not offer torch==2.13.0 for Python",
        ),
        ("error: subprocess-exited-with-error", "pip failed; its last lines are above"),
    ],
)
def test_pips_troubles_in_plain_words(tail: str, told: str) -> None:
    explain: Callable[[str, Path], str] = runpy.run_path(str(SOURCE))["explain"]
    assert told in explain(tail, Path("install.log"))


def test_no_network(project: Path) -> None:
    """With the real venv and the real pip, whose index is a port where nobody listens."""
    done = make(
        project,
        "lab",
        "TORCH=default",
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_EXTRA_INDEX_URL="",
        PIP_FIND_LINKS="",
        PIP_RETRIES="0",
    )
    assert done.returncode != 0
    assert "Connect to the network" in done.stderr
    assert "Traceback" not in done.stderr
    # The next attempt finds an environment without a record and installs into it.
    assert json.loads((project / ".venv/installed.json").read_text()) == {}


def test_a_full_disk_while_the_environment_is_made(project: Path) -> None:
    functions = runpy.run_path(str(project / "tools/bootstrap.py"))

    def full(venv: Path) -> None:
        raise OSError(28, "No space left on device")

    functions["main"].__globals__.update(create=full)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bootstrap.py", "course"])
        with pytest.raises(SystemExit, match="The disk is full"):
            functions["main"]()


def test_debian_without_venv(project: Path) -> None:
    functions = runpy.run_path(str(project / "tools/bootstrap.py"))
    nothing = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    functions["create"].__globals__.update(importlib=nothing)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        functions["create"](project / ".venv")


@pytest.mark.parametrize("version", ["(3, 6, 15)", "(3, 10, 13)"])
def test_an_old_python(version: str) -> None:
    code = f"import runpy, sys; sys.version_info = {version}; runpy.run_path({str(SOURCE)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the course needs 3.11 or newer" in done.stderr
    assert "PYTHON=" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_old_python_can_read_the_file() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 6))
    with pytest.raises(SyntaxError):
        ast.parse("if (match := 1): pass", feature_version=(3, 6))


def test_a_missing_python(project: Path) -> None:
    done = make(project, "lab", PYTHON="no-such-python")
    assert done.returncode != 0
    assert "There is no no-such-python here" in done.stderr
    assert "PYTHON=/path/to/python3" in done.stderr


@pytest.mark.parametrize(
    ("choice", "gpu", "reached", "cpu"),
    [
        ("auto", False, True, True),
        ("auto", True, True, False),
        ("auto", False, False, False),
        ("cpu", True, False, True),
        ("default", False, True, False),
    ],
)
def test_the_build_of_torch(
    choice: str, gpu: bool, reached: bool, cpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = runpy.run_path(str(SOURCE))
    monkeypatch.setattr(sys, "platform", "linux")
    functions["torch_index"].__globals__.update(
        has_nvidia_gpu=lambda: gpu, answers=lambda url: reached
    )
    expected = ["--extra-index-url", functions["CPU_TORCH"]] if cpu else []
    assert functions["torch_index"](choice) == expected


def test_a_server_that_does_not_answer_costs_a_moment() -> None:
    answers: Callable[..., bool] = runpy.run_path(str(SOURCE))["answers"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        assert not answers(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.5)
        assert time.monotonic() - start < 5


def test_help_names_every_target() -> None:
    told = set(re.findall(r"^make (\S+)", make(ROOT).stdout, re.M))
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony
    assert told == set(phony[1].split()) - {"help"}


def ready(project: Path, script: str) -> None:
    """Gives the project a finished environment whose Python is a shell script."""
    bootstrap = Bootstrap(project)
    bootstrap.prepare("tests")
    python = bootstrap.venv / "bin/python"
    python.unlink()
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec "{sys.executable}" "$@"\n{script}\n')
    python.chmod(0o755)


@pytest.mark.parametrize("broken", ["ruff check", "ruff format", "mypy", "pytest", None])
def test_every_check_runs_and_one_failure_fails(project: Path, broken: str | None) -> None:
    ready(project, f'echo "ran $*"; case "$*" in *"{broken}"*) exit 1;; esac')
    done = make(project, "test")
    ran = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("ran ")]
    assert ran == ["ruff", "ruff", "mypy", "pytest"]
    assert (done.returncode != 0) == (broken is not None)
    assert ("Failed:" in done.stderr) == (broken is not None)
    assert done.stdout.splitlines()[-1].startswith("ran -m pytest")


@pytest.fixture
def lab(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Starts `make lab` in a project whose JupyterLab is the one of this environment."""
    ready(project, f'exec "{sys.executable}" "$@"')
    shutil.copytree(ROOT / "tools/jupyter", project / "tools/jupyter")
    (project / "notebooks/00_start_here.ipynb").write_text(
        json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    home = tmp_path_factory.mktemp("home")
    outside = re.compile("MAKE|.*NUM_THREADS")
    inherited = {name: v for name, v in os.environ.items() if not outside.match(name)}
    folders = ("CONFIG", "DATA", "RUNTIME")
    settings = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in folders}
    started = []

    def start(arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["make", "lab", f"ARGS=--no-browser {arguments}"],
            cwd=project,
            env={**inherited, **settings, "PYTHON": sys.executable},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)


def wait_for(url: str | urllib.request.Request) -> Any:
    """Returns what a server answers that prints its address a moment before it listens."""
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError) or time.monotonic() > end:
                raise
            time.sleep(0.2)


def open_lab(process: subprocess.Popen[str]) -> re.Match[str]:
    """Waits for the address that JupyterLab prints; returns its port, path and token."""
    assert process.stdout is not None
    for line in process.stdout:
        address = re.search(r"http://127\.0\.0\.1:(\d+)(/\S+)\?token=(\w+)", line)
        if address:
            return address
    raise AssertionError("JupyterLab printed no address")


@pytest.mark.timeout(120)
def test_lab_takes_the_next_free_port_and_wants_a_token(lab: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = lab(f"--port {port}")
        address = open_lab(process)
    assert int(address[1]) != port
    assert address[2] == "/lab/tree/notebooks/00_start_here.ipynb"
    base = f"http://127.0.0.1:{address[1]}/api/contents/notebooks/00_start_here.ipynb"
    assert wait_for(f"{base}?token={address[3]}")["name"] == "00_start_here.ipynb"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(base, timeout=30)
    refused.value.close()
    assert refused.value.code == 403


@pytest.mark.timeout(180)
def test_what_lab_shows_saves_and_starts(
    lab: Callable[..., Any], project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A real server, asked as JupyterLab asks it."""
    shutil.rmtree(project / "notebooks")
    shutil.copytree(
        ROOT / "notebooks", project / "notebooks", ignore=shutil.ignore_patterns("results")
    )
    for path in ROOT.iterdir():
        if path.is_file() and not (project / path.name).exists():
            shutil.copy(path, project)
    (project / "notebooks/__pycache__").mkdir()
    (project / "notebooks/my_own.py").touch()
    address = open_lab(lab("--ServerApp.port_retries=50"))
    base = f"http://127.0.0.1:{address[1]}/api/"

    def ask(path: str, method: str = "GET", body: Any = None) -> Any:
        headers = {"Authorization": f"token {address[3]}"}
        data = None if body is None else json.dumps(body).encode()
        return wait_for(urllib.request.Request(base + path, data, headers, method=method))

    # Each notebook once, and nothing that a learner has no use for.
    names = sorted(path.name for path in (project / "notebooks").glob("*.ipynb"))
    shown = [entry["name"] for entry in ask("contents/notebooks")["content"]]
    assert sorted(shown) == sorted([*names, "my_own.py"])
    assert {entry["name"] for entry in ask("contents")["content"]} == {"README.md", "notebooks"}
    # A link in the text still leads to the solutions.
    solved = ask("contents/notebooks/solutions/01_gumbel_max.ipynb")
    assert solved["content"]["cells"]

    # Saved as JupyterLab saves what it has opened, both files stay as they are, to the byte.
    path = "contents/notebooks/00_start_here.ipynb"
    pair = [project / f"notebooks/00_start_here{suffix}" for suffix in (".ipynb", ".py")]
    before = [file.read_bytes() for file in pair]
    content = ask(path)["content"]
    content["metadata"]["kernelspec"] = KERNELSPEC
    content["metadata"]["language_info"] = {"name": "python", "version": "3.99.0", "mimetype": "x"}
    ask(path, "PUT", {"type": "notebook", "format": "json", "content": content})
    assert [file.read_bytes() for file in pair] == before
    # An edit is saved in both.
    content["cells"][0]["source"] += "\nan edit of the reader"
    ask(path, "PUT", {"type": "notebook", "format": "json", "content": content})
    assert all("an edit of the reader" in file.read_text("utf-8") for file in pair)

    # A kernel computes on one thread.
    kernel = ask("kernels", "POST", {"name": "python3"})["id"]
    (connection,) = tmp_path_factory.getbasetemp().rglob(f"kernel-{kernel}.json")
    assert ask_kernel(connection, "__import__('torch').get_num_threads()") == "1"
    ask(f"kernels/{kernel}", "DELETE")


@pytest.mark.timeout(120)
def test_the_first_cell_sets_one_thread_wherever_a_kernel_starts(tmp_path: Path) -> None:
    """As in VS Code or on a JupyterHub, which know nothing of the settings of `make lab`."""
    environment = {name: v for name, v in os.environ.items() if "NUM_THREADS" not in name}
    kernel = KernelManager(kernel_name="python3", connection_file=str(tmp_path / "kernel.json"))
    kernel.start_kernel(env={**environment, "PYTHONPATH": str(ROOT)})
    try:
        source = read_script(ROOT / "notebooks/solutions/00_start_here.py")
        (install,) = (cell for cell in source.cells if "install" in cell.metadata.get("tags", []))
        question = "__import__('torch').get_num_threads()"
        assert ask_kernel(tmp_path / "kernel.json", question, install.source) == "1"
    finally:
        kernel.shutdown_kernel(now=True)


def ask_kernel(connection: Path, expression: str, code: str = "") -> str:
    """Returns what an expression is in a kernel that runs, after some code."""
    client = BlockingKernelClient(connection_file=str(connection))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        question = {"answer": expression}
        reply = client.execute(code, user_expressions=question, reply=True, timeout=60)
        assert reply["content"]["status"] == "ok", reply["content"]
        return str(reply["content"]["user_expressions"]["answer"]["data"]["text/plain"])
    finally:
        client.stop_channels()


@pytest.mark.timeout(120)
def test_lab_without_a_free_port(lab: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = lab(f"--port {taken.getsockname()[1]} --ServerApp.port_retries=0")
        output, _ = process.communicate(timeout=100)
    assert process.returncode != 0
    assert 'If no port was free, name one: make lab ARGS="--port 9000"' in output


def test_a_server_that_does_not_end_is_ended():
    from lab import end

    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        end(process, seconds=0.2)
    assert process.returncode == -9
