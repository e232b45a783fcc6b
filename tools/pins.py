"""Writes what follows from one source: Binder's pins and every launch link.

    python tools/pins.py            rewrites the files
    python tools/pins.py --check    says what has drifted, and fails if anything has

The versions come from requirements.txt, the project's address from pyproject.toml.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent

CPU_TORCH = "https://download.pytorch.org/whl/cpu"
# The newest that the tests run on and that repo2docker knows.
BINDER_PYTHON = "3.11"

# Where the address stands: behind a launcher, in a pip or clone command, in a plain link.
ADDRESS = re.compile(
    r"(mybinder\.org/v2/gh/|colab\.research\.google\.com/github/|git\+https://github\.com/)"
    r"[\w.-]+/[\w-]+"
    r"|(github\.com/)[\w.-]+/gumbelrao_edu"
)


def repository(root: Path) -> str:
    """Returns OWNER/NAME of the project's address on GitHub."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    address: str = project["urls"]["Repository"]
    return address.removeprefix("https://github.com/")


def binder_link(repo: str, notebook: str) -> str:
    return f"https://mybinder.org/v2/gh/{repo}/main?urlpath=lab/tree/notebooks/{notebook}.ipynb"


def colab_link(repo: str, notebook: str) -> str:
    return f"https://colab.research.google.com/github/{repo}/blob/main/notebooks/{notebook}.ipynb"


def binder_requirements(requirements: str) -> str:
    """Returns the pins of requirements.txt with the build of torch that has no CUDA in it."""
    pins = [line.partition("#")[0].strip() for line in requirements.splitlines()]
    lines = [
        "# Written by tools/pins.py from requirements.txt; change that one.",
        f"--extra-index-url {CPU_TORCH}",
        *(re.sub(r"^(torch==\S+)$", r"\1+cpu", pin) for pin in pins if pin),
    ]
    return "\n".join(lines) + "\n"


def wanted(root: Path) -> dict[Path, str]:
    """Returns, for each file that this tool keeps, the text that it should have."""
    repo = repository(root)
    texts = {
        root / "binder/requirements.txt": binder_requirements(
            (root / "requirements.txt").read_text()
        ),
        root / "binder/runtime.txt": f"python-{BINDER_PYTHON}\n",
    }
    linked = [root / name for name in ("README.md", "CONTRIBUTING.md", "CITATION.cff")]
    linked += notebook_files(root)
    for path in linked:
        texts[path] = ADDRESS.sub(
            lambda match: (match[1] or match[2]) + repo, path.read_text(encoding="utf-8")
        )
    return texts


def notebook_files(root: Path) -> list[Path]:
    """Returns both files of every pair, in `notebooks` and `notebooks/solutions`."""
    folders = [root / "notebooks", root / "notebooks/solutions"]
    return sorted(
        path for folder in folders for kind in ("*.py", "*.ipynb") for path in folder.glob(kind)
    )


def first_cell(path: Path) -> str:
    """Returns the source of a notebook's first cell, from either file of the pair."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "".join(json.loads(text)["cells"][0]["source"])
    return text.split("# %%", 2)[1]


def problems(root: Path) -> list[str]:
    """Returns one sentence for everything that has drifted."""
    found = [
        f"{path.relative_to(root)} is not what its source says: run python tools/pins.py"
        for path, text in wanted(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    repo = repository(root)
    readme = (root / "README.md").read_text(encoding="utf-8")
    places = [(root / "README.md", "00_start_here", readme)]
    # A notebook with solutions links to its version for learners, which has the same name.
    places += [(path, path.stem, first_cell(path)) for path in notebook_files(root)]
    for path, notebook, text in places:
        for link in (binder_link(repo, notebook), colab_link(repo, notebook)):
            if link not in text:
                found.append(f"{path.relative_to(root)} lacks the link {link} (in its first cell)")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        for path, text in wanted(ROOT).items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
                print(f"wrote {path.relative_to(ROOT)}")
    sys.exit("\n".join(problems(ROOT)) or 0)


if __name__ == "__main__":
    main()
