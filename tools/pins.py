"""Writes what follows from one source: Binder's pins, and the project's address everywhere.

    python tools/pins.py            writes Binder's files
    python tools/pins.py --check    says what has drifted, and fails if anything has
    python tools/pins.py --address https://github.com/OWNER/NAME
                                    moves the project, in every file that git does not ignore

The versions come from requirements.txt, the address from pyproject.toml.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from bootstrap import CPU_TORCH

ROOT = Path(__file__).resolve().parent.parent

# One that the tests run on and that repo2docker knows; the sizes in binder/README.md are of it.
BINDER_PYTHON = "3.11"

GITHUB = "https://github.com/"
REPOSITORY = r"[\w-]+/(?:[\w-]|\.(?!git\b|\s|$))+"
# A link to a repository, a site of GitHub Pages, and the folder that a clone makes. Each begins
# with a host or a command: the pictures of notebooks hold every short string somewhere.
LINK = re.compile(
    r"\b((?:(?:raw\.)?github(?:usercontent)?\.com|mybinder\.org/v2/gh"
    rf"|colab\.research\.google\.com/github|codecov\.io/gh)/)({REPOSITORY})",
    re.MULTILINE,
)
SITE = re.compile(r"https://([\w-]+)\.github\.io/([\w.-]*[\w-])")
CLONE = re.compile(r"(git clone \S+/([\w.-]+?)(?:\.git)?\s*(?:&&|;|\n)\s*cd )([\w.-]+)")

# Repositories of others to which the project links.
OTHERS = {"OWNER/NAME", "cmaddis/gumbel-machinery", "nyu-mll/spinn", "mingzhang-yin/ARM-gradient"}


def repository(root: Path) -> str:
    """Returns OWNER/NAME of the project's address on GitHub."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address: str = project["urls"]["Repository"]
    return address.removeprefix(GITHUB)


def binder_link(repo: str, notebook: str) -> str:
    return f"https://mybinder.org/v2/gh/{repo}/main?urlpath=lab/tree/notebooks/{notebook}.ipynb"


def colab_link(repo: str, notebook: str) -> str:
    return f"https://colab.research.google.com/github/{repo}/blob/main/notebooks/{notebook}.ipynb"


def pinned(requirements: str) -> list[str]:
    """Returns the lines of requirements.txt without its comments."""
    lines = [line.partition("#")[0].strip() for line in requirements.splitlines()]
    return [line for line in lines if line]


def without_cuda(pins: list[str]) -> list[str]:
    """Returns the same with the build of torch that has no CUDA in it."""
    return [re.sub(r"^(torch==\S+)$", r"\1+cpu", pin) for pin in pins]


def binder_requirements(requirements: str) -> str:
    """Returns binder/requirements.txt."""
    lines = [
        "# Written by tools/pins.py from requirements.txt; change that one.",
        f"--extra-index-url {CPU_TORCH}",
        *without_cuda(pinned(requirements)),
    ]
    return "\n".join(lines) + "\n"


def binder_files(root: Path) -> dict[Path, str]:
    """Returns the text that each of Binder's files should have."""
    requirements = (root / "requirements.txt").read_text(encoding="utf-8")
    return {
        root / "binder/requirements.txt": binder_requirements(requirements),
        root / "binder/runtime.txt": f"python-{BINDER_PYTHON}\n",
    }


def files(root: Path) -> list[Path]:
    """Returns every file that is a part of the project, or will be with the next commit."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others"]
    names = subprocess.check_output([*command, "--exclude-standard"], text=True).split("\0")
    return [path for name in sorted({*names}) if name and (path := root / name).exists()]


def texts(root: Path) -> dict[Path, str]:
    """Returns the text of every file that is a part of the project."""
    found = {}
    for path in files(root):
        try:
            found[path] = path.read_bytes().decode("utf-8")
        except (IsADirectoryError, UnicodeDecodeError):
            continue  # a link to a folder, or not a text
    return found


def moved(text: str, old: str, new: str) -> str:
    """Returns a text with the project's address changed."""

    def site(match: re.Match[str]) -> str:
        ours = f"{match[1]}/{match[2]}".lower() == old.lower()
        owner, name = new.split("/")
        return f"https://{owner.lower()}.github.io/{name}" if ours else match[0]

    text = LINK.sub(lambda match: match[1] + (new if match[2] == old else match[2]), text)
    return CLONE.sub(r"\1\2", SITE.sub(site, text))


def move(root: Path, address: str) -> list[str]:
    """Moves the project to another address; returns one sentence for what kept the old one."""
    new = address.removeprefix(GITHUB).removesuffix("/").removesuffix(".git")
    if not address.startswith(GITHUB) or not re.fullmatch(REPOSITORY, new):
        return [f"--address: expected {GITHUB}OWNER/NAME, got {address}"]
    old = repository(root)
    left = []
    for path, text in texts(root).items():
        changed = moved(text, old, new)
        if changed != text:
            path.write_bytes(changed.encode("utf-8"))
            print(f"wrote {path.relative_to(root)}")
        if old != new and re.search(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", changed):
            left.append(f"{path.relative_to(root)} still names {old}: change it by hand")
    return left


def strangers(root: Path) -> list[str]:
    """Returns one sentence for each link to a repository that is neither ours nor in OTHERS."""
    repo = repository(root)
    found = set()
    for path, text in texts(root).items():
        if path.name == "package-lock.json":
            continue  # npm's, full of the addresses of others
        linked = {match[2] for match in LINK.finditer(text)}
        linked |= {f"{match[1]}/{match[2]}" for match in SITE.finditer(text)}
        for other in linked - OTHERS:
            if other.lower() == repo.lower():
                continue
            found.add(
                f"{path.relative_to(root)} links to {other}, which is not the project's address "
                f"({repo}); if it is meant, add it to OTHERS in tools/pins.py"
            )
        for match in CLONE.finditer(text):
            if match[2] != match[3]:
                found.add(f"{path.relative_to(root)}: the clone of {match[2]} is no {match[3]}")
    return sorted(found)


def problems(root: Path) -> list[str]:
    """Returns one sentence for everything that has drifted."""
    found = [
        f"{path.relative_to(root)} is not what its source says: run python tools/pins.py"
        for path, text in binder_files(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    repo, readme = repository(root), (root / "README.md").read_text(encoding="utf-8")
    for link in (binder_link(repo, "00_start_here"), colab_link(repo, "00_start_here")):
        if link not in readme:
            found.append(f"README.md lacks the link {link}")
    return found + strangers(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--address", help="move the project to this address on GitHub")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit("\n".join(problems(ROOT)) or 0)
    if arguments.address:
        failed = move(ROOT, arguments.address)
        if failed:
            sys.exit("\n".join(failed))
        print("Run `make notebooks`: it notes the new text without executing what did not change.")
    for path, text in binder_files(ROOT).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    sys.exit("\n".join(problems(ROOT)) or 0)


if __name__ == "__main__":
    main()
