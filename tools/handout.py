"""Makes a folder, and a zip of it, from which a class starts the course without a network.

    python tools/handout.py                                     for machines like this one
    python tools/handout.py --platform windows --python 3.12    for others

In it are the wheels of everything that requirements.txt names, the notebooks with their solutions,
and `start.py`, which installs and opens them. If GUMBELRAO_DATA_DIR has the full data sets, they
come along; the digits and expressions that are installed with the course are in it anyway. A folder
for machines like this one is tried out: installed and run from the zip, its network cut.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from bootstrap import CPU_TORCH, answers  # noqa: E402
from pins import pinned, without_cuda  # noqa: E402

INSTALLED = "gumbelrao_edu"  # the package itself


class System(NamedTuple):
    """A kind of machine: what pip calls it, and what the markers of requirements say there."""

    name: str
    tags: list[str]
    markers: dict[str, str]


def markers(os_name: str, sys_platform: str, system: str, machine: str) -> dict[str, str]:
    return {
        "os_name": os_name,
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        "platform_release": "",
        "platform_version": "",
    }


def linux(machine: str) -> tuple[list[str], dict[str, str]]:
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 4, -1)]
    old = [f"manylinux{name}_{machine}" for name in ("2014", "2010", "1")]
    return [*tags, *old, f"linux_{machine}"], markers("posix", "linux", "Linux", machine)


SYSTEMS = {
    system.name: system
    for system in [
        System("linux", *linux("x86_64")),
        System("linux-arm", *linux("aarch64")),
        System("macos", ["macosx_14_0_arm64"], markers("posix", "darwin", "Darwin", "arm64")),
        System("windows", ["win_amd64"], markers("nt", "win32", "Windows", "AMD64")),
    ]
}

# pip judges markers by the machine it runs on, also with --platform: this runs it with others.
PIP = """\
import json, os, sys
from pip._vendor.packaging import markers
environment = {**markers.default_environment(), **json.loads(os.environ["HANDOUT_MARKERS"])}
markers.default_environment = lambda: dict(environment)
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class HandoutError(RuntimeError):
    """Why there is no handout, in a sentence."""


def this_system() -> str | None:
    """Returns the name of the system that this machine has, None if it is none of ours."""
    here = (platform.system(), platform.machine())
    for system in SYSTEMS.values():
        if here == (system.markers["platform_system"], system.markers["platform_machine"]):
            return system.name
    return None


def this_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def environment(system: System, python: str) -> dict[str, str]:
    """Returns what the markers of requirements see on the machine that the folder is for."""
    full = f"{python}.0"
    versions = {"python_version": python, "python_full_version": full}
    implementation = {"implementation_name": "cpython", "implementation_version": full}
    return {
        **system.markers,
        **versions,
        **implementation,
        "platform_python_implementation": "CPython",
    }


def pins(requirements: Path, system: System) -> list[str]:
    """Returns what to download; on Linux the build of torch that has no CUDA in it."""
    lines = pinned(requirements.read_text("utf-8"))
    return without_cuda(lines) if system.markers["sys_platform"] == "linux" else lines


def download(wheels: Path, wanted: list[str], system: System, python: str) -> None:
    """Fetches the wheels of what is wanted, and of what these need.

    Raises:
        HandoutError: if one cannot be had.
    """
    tag = "cp" + python.replace(".", "")
    only = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    only += [f"--abi={abi}" for abi in (tag, "abi3", "none")]
    only += [f"--platform={name}" for name in system.tags]
    command = [sys.executable, "-c", PIP, "download", "--quiet", "--dest", str(wheels), *only]
    cpu = any("+cpu" in name for name in wanted)
    index = cpu and "PIP_NO_INDEX" not in os.environ and answers(CPU_TORCH + "/torch/")
    command += ["--extra-index-url", CPU_TORCH] if index else []
    seen = {**os.environ, "HANDOUT_MARKERS": json.dumps(environment(system, python))}
    done = subprocess.run([*command, *wanted], env=seen, check=False, stderr=subprocess.PIPE)
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        if "torch==" in said and cpu and not index:
            raise HandoutError(
                f"The build of torch without CUDA for Python {python} is at {CPU_TORCH}, which "
                "could not be reached. Make the folder where it can, or put the wheel into a "
                "folder and name it: PIP_FIND_LINKS=FOLDER."
            )
        raise HandoutError(f"{said}pip could not fetch everything; the lines above say why.")


def missing(wheels: Path, wanted: Iterable[str], system: System, python: str) -> list[str]:
    """Returns what is wanted, or needed by what is, and has no wheel in a folder."""
    versions: dict[str, Version] = {}
    needs: dict[str, list[Requirement]] = {}
    for wheel in wheels.glob("*.whl"):
        name, version, *_ = parse_wheel_filename(wheel.name)
        versions[name] = version
        needs[name] = metadata(wheel)
    seen = environment(system, python)
    lacking: list[str] = []
    done: set[tuple[str, str]] = set()
    left = [Requirement(line) for line in wanted]
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        there = versions.get(name)
        if there is None or not requirement.specifier.contains(there, prereleases=True):
            lacking.append(str(requirement))
        extras = {"", *requirement.extras}
        for extra in sorted(extras - {extra for each, extra in done if each == name}):
            done.add((name, extra))
            for need in needs.get(name, []):
                if need.marker is None or need.marker.evaluate({**seen, "extra": extra}):
                    left.append(need)
    return sorted(set(lacking))


def metadata(wheel: Path) -> list[Requirement]:
    """Returns what a wheel requires."""
    with zipfile.ZipFile(wheel) as archive:
        # Only its own: setuptools brings those of others along.
        (name,) = (n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        headers = HeaderParser().parsestr(archive.read(name).decode())
    return [Requirement(line) for line in headers.get_all("Requires-Dist", [])]


def build_course(root: Path, wheels: Path) -> None:
    """Makes the wheel of the package, from a copy: an old build folder would end up in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "course")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / INSTALLED, copy / INSTALLED, ignore=ignored)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            if (root / name).exists():
                shutil.copy(root / name, copy)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        done = subprocess.run([*pip, "--wheel-dir", str(wheels), str(copy)], check=False)
    if done.returncode:
        raise HandoutError("The wheel of the course could not be built; the lines above say why.")


def copy_data(folder: Path) -> str:
    """Copies the full data sets if they are at hand; returns a sentence on it."""
    named = os.environ.get("GUMBELRAO_DATA_DIR")
    known = []
    if named:
        sys.path.insert(0, str(ROOT))
        from gumbelrao_edu.listops.data import _files as listops
        from gumbelrao_edu.vae.data import _files as digits

        known = [
            file.path
            for files in (digits(), listops())
            if all(file.path.is_file() and file.is_right(file.path) for file in files)
            for file in files
        ]
    if not known:
        return "Data: what is installed with the course, 5,000 digits and a generator of ListOps."
    (folder / "data").mkdir()
    for path in known:
        shutil.copy(path, folder / "data")
    return f"Data: the full files {', '.join(sorted(path.name for path in known))}."


def copy_course(root: Path, folder: Path, python: str) -> None:
    """Copies the notebooks, the settings of JupyterLab, and what starts them."""
    ignored = shutil.ignore_patterns("*.py", ".*", "__pycache__", "models", "fig*.html")
    shutil.copytree(root / "notebooks", folder / "notebooks", ignore=ignored)
    if (root / "tools/jupyter").is_dir():
        nothing = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / "tools/jupyter", folder / "jupyter", ignore=nothing)
    shutil.copy(root / "requirements.txt", folder)
    start = Path(__file__).with_name("handout_start.py").read_text("utf-8")
    version = ", ".join(python.split("."))
    (folder / "start.py").write_text(
        start.replace("WANTED = (3, 0)", f"WANTED = ({version})"), "utf-8"
    )


def readme(system: System, python: str) -> str:
    windows = system.name == "windows"
    command = f"py -{python} start.py" if windows else f"python{python} start.py"
    return (
        f"The course on the Gumbel-Rao estimator, for Python {python} on {system.name}.\n"
        f"In a terminal, in this folder: {command}\n"
        "It installs itself into this folder the first time, and asks no network for anything.\n"
    )


def pack(folder: Path) -> Path:
    archive = folder.with_name(folder.name + ".zip")
    part = archive.with_suffix(".part")  # a zip that is there stays until the new one is whole
    # Wheels are compressed already.
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted(folder.rglob("*")):
            zipped.write(path, path.relative_to(folder.parent))
    return part.replace(archive)


def make(root: Path, out: Path, system: System, python: str) -> Path:
    """Makes the folder and its zip, and returns the zip.

    Raises:
        HandoutError: if something cannot be had.
    """
    folder = out / f"gumbelrao-course-{system.name}-{python}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    wanted = pins(root / "requirements.txt", system)
    print(f"Fetching the wheels for Python {python} on {system.name} …", flush=True)
    download(folder / "wheels", wanted, system, python)
    build_course(root, folder / "wheels")
    lacking = missing(folder / "wheels", [*wanted, INSTALLED], system, python)
    if lacking:
        raise HandoutError(f"The folder lacks wheels: {', '.join(lacking)}.")
    copy_course(root, folder, python)
    print(copy_data(folder), flush=True)
    (folder / "README.txt").write_text(readme(system, python), "utf-8")
    archive = pack(folder)
    print(f"{folder}\n{archive}: {archive.stat().st_size / 1e6:.0f} MB", flush=True)
    return archive


def without_network() -> list[str]:
    """Returns what runs a command without a network, nothing where there is no such command."""
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    if shutil.which("unshare"):
        done = subprocess.run([*unshare, "true"], check=False, capture_output=True)
        if done.returncode == 0:
            return unshare
    return []


def try_out(archive: Path) -> None:
    """Unpacks a zip elsewhere, installs from it and runs a cell, without a network.

    Raises:
        HandoutError: if that fails.
    """
    cut = without_network()
    how = "its network cut" if cut else "pip told to use no index (nothing here cuts a network)"
    print(f"Trying it out, {how} …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
        start = Path(folder, archive.stem, "start.py")
        # A virtual environment's own python would be found in the new one.
        python = getattr(sys, "_base_executable", sys.executable)
        command = [*cut, python, str(start), "--check"]
        if subprocess.run(command, check=False, cwd=folder).returncode:
            raise HandoutError("The folder does not work; the lines above say why.")
    print("It works: installed into a new environment and run.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    here = this_system()
    parser.add_argument("--platform", choices=SYSTEMS, default=here, required=here is None)
    parser.add_argument("--python", default=this_python(), help="such as 3.12")
    parser.add_argument("--out", type=Path, default=ROOT / "build/handout")
    arguments = parser.parse_args()
    try:
        archive = make(ROOT, arguments.out, SYSTEMS[arguments.platform], arguments.python)
        if (arguments.platform, arguments.python) == (here, this_python()):
            try_out(archive)
        else:
            print("Not tried out: it is for other machines. On one of them: start.py --check")
    except HandoutError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
