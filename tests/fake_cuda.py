"""A CUDA runtime without a GPU, as cuda-bindings shows it; work is done when its stream is waited for.

Mistakes that a GPU punishes are punished here: memory that was freed or is too small, a stream that is gone.
"""

# ruff: noqa: N801, N815, the names are CUDA's

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest


class FakeCuda(ModuleType):
    """Stands for ``cuda.bindings.runtime``."""

    class cudaError_t(IntEnum):
        cudaSuccess = 0
        cudaErrorInvalidValue = 1
        cudaErrorMemoryAllocation = 2
        cudaErrorInsufficientDriver = 35

    class cudaMemcpyKind(IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    cudaStreamNonBlocking = 1

    def __init__(
        self, *, name: str = "Fake RTX", capability: tuple[int, int] = (8, 6), count: int = 1
    ) -> None:
        super().__init__("cuda.bindings.runtime")
        self.properties = SimpleNamespace(
            name=name.encode() + b"\0\0", major=capability[0], minor=capability[1]
        )
        self.count = count
        self.memory: dict[int, Any] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.device = 0
        self.used: set[int] = set()
        self.room = 1 << 30
        self._next = 0x1000

    def _fresh(self) -> int:
        self._next += 0x100000
        return self._next

    def cudaGetDeviceCount(self) -> tuple[Any, Any]:
        if not self.count:
            return self.cudaError_t.cudaErrorInsufficientDriver, None
        return self.cudaError_t.cudaSuccess, self.count

    def cudaGetErrorString(self, status: Any) -> tuple[Any, bytes]:
        return self.cudaError_t.cudaSuccess, self.cudaError_t(status).name.encode()

    def cudaGetDeviceProperties(self, index: int) -> tuple[Any, Any]:
        return self.cudaError_t.cudaSuccess, self.properties

    def cudaSetDevice(self, index: int) -> tuple[Any]:
        self.device = index
        return (self.cudaError_t.cudaSuccess,)

    def cudaGetDevice(self) -> tuple[Any, int]:
        return self.cudaError_t.cudaSuccess, self.device

    def cudaMalloc(self, size: int) -> tuple[Any, Any]:
        self.used.add(self.device)
        if size > self.room or size < 1:
            return self.cudaError_t.cudaErrorMemoryAllocation, None
        address = self._fresh()
        self.memory[address] = np.full(size, 0xAB, np.uint8)
        return self.cudaError_t.cudaSuccess, address

    def cudaFree(self, address: int) -> tuple[Any]:
        if not address:
            return (self.cudaError_t.cudaSuccess,)
        assert not any(self.streams.values()), "memory freed while work is queued"
        del self.memory[address]
        return (self.cudaError_t.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, Any]:
        assert flags == self.cudaStreamNonBlocking
        stream = self._fresh()
        self.streams[stream] = []
        return self.cudaError_t.cudaSuccess, stream

    def cudaStreamDestroy(self, stream: int) -> tuple[Any]:
        del self.streams[stream]
        return (self.cudaError_t.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any]:
        queue, self.streams[stream] = self.streams[stream], []
        for work in queue:
            work()
        return (self.cudaError_t.cudaSuccess,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: Any, stream: int) -> tuple[Any]:
        if kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice:
            host = np.frombuffer(
                ctypes.string_at(source, size), np.uint8
            )  # staged at once, as pageable memory is
            self.streams[stream].append(lambda: self.write(target, host))
        else:
            self.streams[stream].append(lambda: _to_host(target, self.read(source, size)))
        return (self.cudaError_t.cudaSuccess,)

    def write(self, address: int, values: Any) -> None:
        assert len(self.memory[address]) >= len(values), "written past the end"
        self.memory[address][: len(values)] = values

    def read(self, address: int, size: int) -> Any:
        assert len(self.memory[address]) >= size, "read past the end"
        return self.memory[address][:size].copy()


def _to_host(address: int, values: Any) -> None:
    ctypes.memmove(address, values.ctypes.data, values.nbytes)


def install_cuda(monkeypatch: pytest.MonkeyPatch, cuda: FakeCuda) -> FakeCuda:
    """Let ``from cuda.bindings import runtime`` find it."""
    package, bindings = ModuleType("cuda"), ModuleType("cuda.bindings")
    package.bindings, bindings.runtime = bindings, cuda  # type: ignore[attr-defined]
    for name, module in (("cuda", package), ("cuda.bindings", bindings), ("cuda.bindings.runtime", cuda)):
        monkeypatch.setitem(sys.modules, name, module)
    return cuda
