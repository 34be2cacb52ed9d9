"""Kernels on the host: their source, compiled by g++, each thread a fiber that takes its turn.

    emulate("theta_grid_sample_2d_linear_f32", blocks, 128, [c_void_p(...), ..., c_int32(...), ...])

A library holds the kernels of one operation in one number of dimensions with one interpolation. It is
compiled when first asked for, into build/emulation/DIGEST, where every process finds it.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
KERNELS = ROOT / "stn_deploy" / "plugins" / "kernels"
BUILT = ROOT / "build" / "emulation"
FLAGS = ["-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fPIC"]
SANITIZERS = ["-O0", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
SANITIZED = os.environ.get("STN_SANITIZED") == "1"
"""Whether this process looks at every access to memory; it then has to begin with the sanitizer's library."""
FORWARD, REVERSE = 0, 1
"""Orders in which threads run; any larger number shuffles them, with that number as the seed."""

_NAME = re.compile(
    r"(?P<reference>reference_)?(?P<operation>(theta_)?grid_sample(_backward)?)_(?P<axes>[23])d_"
    r"(?P<interpolation>nearest|linear|cubic)_"
)


def emulate(
    kernel_name: str, blocks: int, threads: int, arguments: Sequence[Any], *, order: int = FORWARD
) -> None:
    """Run one kernel as cuLaunchKernel would.

    Args:
        arguments: ctypes values, c_void_p for pointers to host memory and c_int32 for whole numbers.
        order: of the threads; see `FORWARD`.
    Raises:
        RuntimeError: no such kernel, a launch no GPU takes, or threads that wait for one another in vain.
    """
    run_kernel(library_of(kernel_name), kernel_name, blocks, threads, arguments, order=order)


def run_kernel(
    library: Path,
    kernel_name: str,
    blocks: int,
    threads: int,
    arguments: Sequence[Any],
    *,
    order: int = FORWARD,
) -> None:
    """Run one kernel of a library; see `emulate`."""
    pointers = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(value) for value in arguments))
    problem = _loaded(library).stn_emulate(kernel_name.encode(), blocks, threads, pointers, order)
    if problem:
        raise RuntimeError(f"{kernel_name}: {problem.decode()}")


def library_of(kernel_name: str, *, sanitized: bool = SANITIZED) -> Path:
    """The library that holds a kernel, compiled if it is not there yet; skips where there is no compiler."""
    found = _NAME.match(kernel_name)
    if found is None:
        raise RuntimeError(f"{kernel_name}: not the name of a kernel")
    operation = "REFERENCE" if found["reference"] else found["operation"].upper()
    defines = {
        "OPERATION": f"STN_{operation}",
        "AXES": found["axes"],
        "INTERPOLATION": found["interpolation"],
    }
    name = "-".join(defines.values())
    options = [f"-DSTN_{key}={value}" for key, value in defines.items()]
    return compiled(name, KERNELS / "kernels.cu", options, sanitized=sanitized)


def compiled(name: str, source: Path, options: Sequence[str] = (), *, sanitized: bool = False) -> Path:
    """The library of the kernels in a source, compiled once for all processes."""
    compiler = _compiler()
    folder = BUILT / _digest(compiler)
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "-sanitized" if sanitized else ""
    command = [compiler, *FLAGS, *(SANITIZERS if sanitized else []), "-DSTN_EMULATION", f"-I{KERNELS}"]
    fibers, library = folder / f"fibers{suffix}.o", folder / f"{name}{suffix}.so"
    _make(fibers, [*command, "-c", str(KERNELS / "emulation" / "fibers.cpp")])
    _make(library, [*command, *options, "-shared", "-x", "c++", str(source), "-x", "none", str(fibers)])
    return library


def _make(path: Path, command: list[str]) -> None:
    """Compile unless it is there: one process does, into a file that is renamed once it is whole."""
    if path.is_file():
        return
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file, also if this process dies
        if path.is_file():
            return
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        os.close(handle)
        done = subprocess.run([*command, "-o", temporary], capture_output=True, text=True, check=False)
        if done.returncode:
            Path(temporary).unlink()
            raise RuntimeError(f"the kernels do not compile for the host:\n{done.stderr}")
        os.replace(temporary, path)


@functools.cache
def _loaded(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.stn_emulate.argtypes = [
        ctypes.c_char_p,
        ctypes.c_int64,
        ctypes.c_int32,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_int32,
    ]
    library.stn_emulate.restype = ctypes.c_char_p
    return library


def _compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        pytest.skip("the kernels are emulated by a host compile: needs g++")
    return found


@functools.cache
def _digest(compiler: str) -> str:
    """Of all sources, the flags and the compiler: a change of any of them makes new libraries."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(" ".join([version, *FLAGS, *SANITIZERS]).encode())
    for path in sorted(KERNELS.rglob("*")):
        if path.suffix in {".cu", ".cuh", ".h", ".cpp"}:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
