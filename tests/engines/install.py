"""Install the engines that the tests drive, each version in a folder of its own: build/engines/NAME.

Two versions cannot live in one process, nor in one environment. Each list here names the packages of one
folder; what is there already, for this list and this Python, stays. One that cannot be had for this Python is
named, and its tests skip.

    python tests/engines/install.py [FLAGS OF PIP ...]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

LISTS = Path(__file__).parent
FOLDER = LISTS.parents[1] / "build" / "engines"
STAMP = ".installed"


def wanted(name: str) -> str:
    """What the stamp of a folder says once it is complete: the Python, and the packages."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}\n{(LISTS / f'{name}.txt').read_text()}"


def folder_of(name: str) -> Path | None:
    """Where an engine lies; None where it is not installed for this Python."""
    stamp = FOLDER / name / STAMP
    return stamp.parent if stamp.is_file() and stamp.read_text() == wanted(name) else None


def install(name: str, flags: list[str]) -> bool:
    """Install one engine; whether it is there."""
    if folder_of(name):
        return True
    print(f"Installing {name} into build/engines", flush=True)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "install"]
    options = ["--no-deps", "--only-binary", ":all:", "--target", str(folder)]
    listed = ["-r", str(LISTS / f"{name}.txt")]
    done = subprocess.run([*pip, *flags, *options, *listed], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        print(f"{name} cannot be installed, so its tests will skip: {(reasons or ['no reason given'])[-1]}")
        return False
    (folder / STAMP).write_text(wanted(name))
    return True


def main() -> None:
    """Install all; that one cannot be had is no failure."""
    for path in sorted(LISTS.glob("*.txt")):
        install(path.stem, sys.argv[1:])


if __name__ == "__main__":
    main()
