"""Opens the course from this folder; needs Python and no network.

python start.py           opens JupyterLab; the first time it installs the course into .venv
python start.py --check   installs it, and says whether everything works
"""

import sys

WANTED = (3, 0)  # what the wheels in this folder are for

# Before anything else, and in words that an old Python can read.
if sys.version_info[:2] != WANTED:
    sys.exit(
        "This is Python {}.{}; the folder is for Python {}.{}. Install that one (python.org has "
        "it), or ask for a folder for yours.".format(*(sys.version_info[:2] + WANTED))
    )

import json
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
DONE = VENV / "course-is-installed"


def install() -> None:
    if DONE.exists() and DONE.read_text() == str(VENV):
        return
    print("Installing the course into .venv, a minute or two ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    from_here = ["--no-index", "--find-links", str(HERE / "wheels")]
    needs = ["-r", str(HERE / "requirements.txt"), "gumbelrao_edu"]
    # What a person's pip is set up for leads to a network.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment["PIP_CONFIG_FILE"] = os.devnull
    subprocess.run([*pip, *from_here, *needs], check=True, env=environment)
    DONE.write_text(str(VENV))


def check() -> None:
    """Runs the code of the first notebook, which ends with a look at whether everything works."""
    subprocess.run([PYTHON, "-m", "pip", "check"], check=True, stdout=subprocess.DEVNULL)
    notebook = json.loads((HERE / "notebooks/00_start_here.ipynb").read_text("utf-8"))
    cells = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join(map("".join, cells)).splitlines()
    # What begins with a % is for Jupyter alone.
    code = "\n".join(line for line in lines if not line.lstrip().startswith("%"))
    subprocess.run([PYTHON, "-c", code], check=True, env=environment(), cwd=HERE)


def environment() -> dict[str, str]:
    settings = {"OMP_NUM_THREADS": "1", "JUPYTER_CONFIG_PATH": str(HERE / "jupyter")}
    if (HERE / "data").is_dir():
        settings["GUMBELRAO_DATA_DIR"] = str(HERE / "data")
    return {**os.environ, "PYTHONUTF8": "1", **settings}


def open_lab() -> int:
    lab = [PYTHON, "-m", "jupyterlab", f"--ServerApp.root_dir={HERE / 'notebooks'}"]
    first = "--LabApp.default_url=/lab/tree/00_start_here.ipynb"
    print("Opening the course in JupyterLab; Ctrl-C ends it.", flush=True)
    more = sys.argv[1:]
    return subprocess.run([*lab, first, *more], check=False, env=environment()).returncode


def main() -> int | str:
    try:
        install()
        if sys.argv[1:] != ["--check"]:
            return open_lab()
        check()
        return 0
    except subprocess.CalledProcessError:
        return "It did not work; the lines above say why. Show them to whoever gave you the folder."
    except KeyboardInterrupt:
        return "\nStopped."


if __name__ == "__main__":
    sys.exit(main())
