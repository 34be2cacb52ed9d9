"""The CUDA compiler of this machine: from the toolkit, from the path, or from NVIDIA's packages for pip."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stn_deploy.errors import ArgumentError, EngineError

OLDEST = (12, 0)
KNOWN = (75, 80, 86, 87, 89, 90, 100, 101, 110, 120)
"""Architectures that a library is built for by default, as far as the compiler knows them; 101 is the name of
110 before CUDA 13. Twin: CMakeLists.txt."""
USUAL = ("/usr/local/cuda/bin/nvcc",)
HOW_TO_GET = (
    "install the CUDA toolkit, 12.0 or newer, or pip install nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt "
    "nvidia-cuda-runtime"
)


@dataclass(frozen=True)
class Compiler:
    """nvcc: its path. version: such as 13.0.88. architectures: that it compiles for, such as 86."""

    nvcc: Path
    version: str
    architectures: tuple[int, ...]

    def chosen(self, asked: tuple[int, ...] = ()) -> tuple[str, ...]:
        """Architectures of a build: machine code for each, and for newer GPUs text of the newest.

        Args:
            asked: by the user; all that are known by default.
        Raises:
            ArgumentError: one of them the compiler does not know.
        """
        wrong = [number for number in asked if number not in self.architectures]
        if wrong:
            raise ArgumentError(
                f"architectures: expected some of {', '.join(map(str, self.architectures))}, which nvcc "
                f"{self.version} compiles for, got {', '.join(map(str, wrong))}"
            )
        numbers = sorted(set(asked)) or [number for number in KNOWN if number in self.architectures]
        return (*(f"{number}-real" for number in numbers), f"{numbers[-1]}-virtual")

    def library_folders(self) -> list[Path]:
        """Where its runtime library may be; nvcc itself does not look into ``lib`` of NVIDIA's wheels."""
        root = self.nvcc.resolve().parent.parent
        return [folder for folder in (root / "lib64", root / "lib") if folder.is_dir()]


def find_compiler(environment: Mapping[str, str] | None = None) -> Compiler:
    """nvcc, where CUDA_HOME says, on the path, in the usual place, or from a wheel.

    Raises:
        EngineError: there is none, or all are too old or do not run.
    """
    variables = os.environ if environment is None else environment
    problems = []
    for nvcc in dict.fromkeys(_places(variables)):
        if not nvcc.is_file():
            continue
        try:
            version = _asked(nvcc, "--version")
            codes = _asked(nvcc, "--list-gpu-arch")
        except EngineError as error:
            problems.append(str(error))
            continue
        found = re.search(r"release [\d.]+, V([\d.]+)", version)
        if found is None or tuple(map(int, found[1].split(".")[:2])) < OLDEST:
            problems.append(f"{nvcc} is {found[1] if found else 'of an unknown version'}")
            continue
        return Compiler(
            nvcc, found[1], tuple(sorted(int(code) for code in re.findall(r"compute_(\d+)\b", codes)))
        )
    others = f" ({'; '.join(problems)})" if problems else ""
    raise EngineError(
        "nvcc: expected CUDA's compiler, 12.0 or newer, in CUDA_HOME, on the path, in /usr/local/cuda or "
        f"among Python's packages, found none{others}; {HOW_TO_GET}"
    )


def _places(variables: Mapping[str, str]) -> Iterator[Path]:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if variables.get(name):
            yield Path(variables[name]) / "bin" / "nvcc"
    on_path = shutil.which("nvcc", path=variables.get("PATH", ""))
    if on_path:
        yield Path(on_path)
    yield from map(Path, USUAL)
    yield from _of_wheels()


def _of_wheels() -> list[Path]:
    """The newest first. NVIDIA's packages share the folder ``nvidia``."""
    spec = importlib.util.find_spec("nvidia")
    folders = sorted(spec.submodule_search_locations or ()) if spec else []
    return [nvcc for folder in folders for nvcc in sorted(Path(folder).glob("cu*/bin/nvcc"), reverse=True)]


def _asked(nvcc: Path, question: str) -> str:
    try:
        done = subprocess.run([str(nvcc), question], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{nvcc} does not run: {error}") from error
    if done.returncode:
        raise EngineError(f"{nvcc} fails: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout
