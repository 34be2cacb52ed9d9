"""Write ptx/*.ptx and ptx/digest.json: python -m stn_deploy.plugins.kernels.generate_ptx NVCC.

The text is compiled for Turing, the oldest GPU of CUDA 13, and declares the oldest version of PTX that knows
Turing: any driver since then translates it for the GPU at hand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

KERNELS = Path(__file__).parent
PTX = KERNELS / "ptx"
COMPILER = "13.0.88"
TARGET = "sm_75"
VERSION = "6.3"
"""The first version of PTX with `TARGET`. That the text needs no later one, ptxas says in the tests."""
FLAGS = ("-std=c++17", "-arch=compute_75", "--ptx")
OPERATIONS = ("theta_grid_sample", "grid_sample", "theta_grid_sample_backward", "grid_sample_backward")
KINDS = ((2, "nearest"), (2, "linear"), (2, "cubic"), (3, "nearest"), (3, "linear"))
NAMES = tuple(f"{operation}_{axes}d_{mode}" for operation in OPERATIONS for axes, mode in KINDS)
"""Of the files; each kernel in one begins with the file's name."""


def defines_of(name: str) -> list[str]:
    """What kernels.cu wants defined to hold the kernels of one file."""
    found = re.fullmatch(r"(\w+)_([23])d_(\w+)", name)
    if found is None or name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}, got {name}")
    operation, axes, mode = found.groups()
    return [f"-DSTN_OPERATION=STN_{operation.upper()}", f"-DSTN_AXES={axes}", f"-DSTN_INTERPOLATION={mode}"]


def generate(name: str, nvcc: Path) -> str:
    """The PTX text of one file."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / f"{name}.ptx"
        command = [str(nvcc), *FLAGS, *defines_of(name), "kernels.cu", "-o", str(written)]
        done = subprocess.run(command, cwd=KERNELS, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        text = written.read_text(encoding="ascii")
    return normalised(text)


def normalised(text: str) -> str:
    """PTX without comments and empty lines, with short names for parameters, in the version `VERSION`."""
    text = re.sub(r"//.*", "", text)
    text = re.sub(r"^\.version .*$", f".version {VERSION}", text, flags=re.MULTILINE)
    text = re.sub(r"\w+_param_(\d+)", r"p\1", text)
    return "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip())


def sources() -> list[Path]:
    """The files that the PTX depends on."""
    return [*sorted(KERNELS.glob("*.cuh")), KERNELS / "kernels.cu", KERNELS / "launch.h"]


def record_of(texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What digest.json holds: how the texts were made, and the SHA-256 of each and of each source."""
    return {
        "compiler": f"nvcc {COMPILER}",
        "flags": list(FLAGS),
        "target": TARGET,
        "version": VERSION,
        "sources": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sources()},
        "ptx": {f"{name}.ptx": hashlib.sha256(text.encode()).hexdigest() for name, text in texts},
    }


def release_of(nvcc: Path) -> str:
    """The version of a compiler, as in 13.0.88."""
    told = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\bV(\d+\.\d+\.\d+)", told)
    return found[1] if found else "unknown"


def main() -> None:
    """Compile all, then write all: a compile that fails leaves everything as it was."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("nvcc", type=Path, help=f"nvcc {COMPILER}")
    nvcc = parser.parse_args().nvcc.resolve()
    if (release := release_of(nvcc)) != COMPILER:
        parser.error(f"nvcc: expected {COMPILER}, whose output is checked in, got {release} at {nvcc}")
    with ThreadPoolExecutor() as pool:
        texts = list(zip(NAMES, pool.map(lambda name: generate(name, nvcc), NAMES), strict=True))
    for name, text in texts:
        (PTX / f"{name}.ptx").write_text(text, encoding="ascii")
    (PTX / "digest.json").write_text(json.dumps(record_of(texts), indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
