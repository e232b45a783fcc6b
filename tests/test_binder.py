"""What repo2docker, the tool of mybinder.org, makes of this repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from jupyterlab_server.config import get_page_config

BINDER = ROOT / "binder"


def render(folder: Path) -> str:
    """Returns the Dockerfile, after the messages, that repo2docker writes without Docker."""
    done = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stderr + done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that decide what repo2docker does, without the weight of the rest."""
    for name in ("pyproject.toml", "requirements.txt", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(BINDER, tmp_path / "binder")
    return tmp_path


def test_the_dockerfile(checkout: Path) -> None:
    rendered = render(checkout)
    version = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"Building conda environment for python={version}" in rendered

    lines = rendered.splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert installs == [
        'RUN ${KERNEL_PYTHON_PREFIX}/bin/pip install --no-cache-dir -r "binder/requirements.txt"'
    ]
    # The pins are installed before the repository is copied: a new text keeps the big layer.
    (copy,) = (n for n, line in enumerate(lines) if line.endswith(" src/ ${REPO_DIR}/"))
    assert lines.index(installs[0]) < copy < lines.index("RUN ./binder/postBuild")
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in lines
    assert any(line.startswith('CMD ["jupyter"') for line in lines)


def test_without_the_folder_binder_the_image_would_be_another(checkout: Path) -> None:
    """The control of the test above: repo2docker would take the root's files, CUDA and all."""
    shutil.rmtree(checkout / "binder")
    rendered = render(checkout)
    assert '-r "requirements.txt"' in rendered
    assert "binder/" not in rendered


def test_a_runtime_that_repo2docker_does_not_know_is_noticed(checkout: Path) -> None:
    (checkout / "binder/runtime.txt").write_text("python-3.99\n")
    with pytest.raises(subprocess.CalledProcessError):
        render(checkout)


def test_torch_comes_without_cuda() -> None:
    lines = (BINDER / "requirements.txt").read_text().splitlines()
    torch = [line for line in lines if line.startswith("torch")]
    assert len(torch) == 1
    assert torch[0].endswith("+cpu")
    assert not [line for line in lines if "nvidia" in line or "triton" in line]


@pytest.mark.parametrize("script", ["postBuild", "start"])
def test_scripts_can_be_executed(script: str) -> None:
    assert os.access(BINDER / script, os.X_OK)


def test_start_names_the_settings_of_jupyterlab_and_passes_on_the_status(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['JUPYTER_CONFIG_PATH']); sys.exit(7)"
    command = [str(BINDER / "start"), sys.executable, "-c", code]
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": "other"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (7, f"{ROOT}/tools/jupyter:other\n")
    assert (ROOT / "tools/jupyter/jupyter_server_config.py").exists()


def test_no_news_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(ROOT / "tools/jupyter"))
    disabled = get_page_config([])["disabledExtensions"]
    assert "@jupyterlab/apputils-extension:announcements" in disabled


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("broken", ["python", None])
def test_post_build_stops_at_the_first_error(tmp_path: Path, broken: str | None) -> None:
    tool, status = tmp_path / "python", 1 if broken else 0
    tool.write_text(f'#!/bin/sh\necho python "$1" "$2" >> "{tmp_path}/calls"\nexit {status}\n')
    tool.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([str(BINDER / "postBuild")], env=environment, check=False)
    calls = (tmp_path / "calls").read_text().splitlines()
    expected = [
        "python -m pip",
        "python -m compileall",
        "python -c import gumbelrao_edu, plotly, ipywidgets, anywidget; "
        "print(gumbelrao_edu.__version__)",
    ]
    assert calls == {"python": expected[:1], None: expected}[broken]
    assert (done.returncode != 0) == (broken is not None)
