"""NVIDIA's driver library without a GPU, compiled from fake_driver.cpp; a launch runs in Python."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int32, c_uint, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stn_deploy.plugins.launch.plan import ARGUMENTS
from tests.emulation import emulate

_CALLBACK = CFUNCTYPE(None, c_char_p, c_int, c_uint, c_uint, c_void_p, POINTER(c_void_p))


class Seen(NamedTuple):
    """A launch as the driver gets it. arguments: as ctypes values, read where the driver reads them."""

    kernel: str
    device: int
    blocks: int
    threads: int
    stream: int
    arguments: list[Any]


def compile_driver(folder: Path) -> Path:
    """The library; skips where there is no compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("the driver is stood in for by a host compile: needs g++")
    path = folder / "libcuda.so.1"
    source = Path(__file__).with_suffix(".cpp")
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-o", str(path)], check=True)
    return path


class FakeDriver:
    """One library of its own: a copy of the compiled one.

    Attributes:
        path: of the library, for `stn_deploy.plugins.launch.driver.Driver`.
        seen: the launches.
        work: is called with each.
    """

    def __init__(self, compiled: Path, folder: Path) -> None:
        self.path = folder / "libcuda.so.1"
        shutil.copy(compiled, self.path)
        self.library = ctypes.CDLL(str(self.path))
        self.library.fake_calls.restype = c_char_p
        self.seen: list[Seen] = []
        self.work: Callable[[Seen], None] = lambda seen: None
        self._callback = _CALLBACK(self._launched)  # lives as long as the library may call it
        self.library.fake_launched(self._callback)

    @property
    def calls(self) -> list[str]:
        """Functions that were called, in order, without those of each launch."""
        return str(self.library.fake_calls().decode()).split("\n")[:-1]

    def fail(self, name: str, status: int) -> None:
        """Let a function of the driver fail from now on."""
        self.library.fake_failure(name.encode(), status)

    def _launched(
        self, name: bytes, device: int, blocks: int, threads: int, stream: int | None, addresses: Any
    ) -> None:
        kernel = name.decode()
        operation = re.sub(r"_[23]d_.*", "", kernel)
        before, integers, after = ARGUMENTS[operation]
        kinds = [c_void_p] * len(before) + [c_int32] * len(integers) + [c_void_p] * len(after)
        # Copied, for the caller may use the room again.
        arguments = [
            kind(kind.from_address(address).value or 0)
            for kind, address in zip(kinds, addresses[: len(kinds)], strict=True)
        ]
        self.seen.append(Seen(kernel, device, blocks, threads, stream or 0, arguments))
        self.work(self.seen[-1])


def run_emulated(seen: Seen) -> None:
    """Work for a driver: the kernel, on the host."""
    emulate(seen.kernel, seen.blocks, seen.threads, seen.arguments)
