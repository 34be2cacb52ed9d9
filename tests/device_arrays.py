"""Arrays that say that they lie on a GPU and lie in the memory of the host, in every way to say so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import Tensor


class DlpackArray:
    """DLPack as makers of old speak it. asked: what its contents were to be complete for."""

    def __init__(self, held: Tensor, device: int = 0) -> None:
        self.held = held
        self.device = device
        self.asked: list[dict[str, Any]] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device

    def __dlpack__(self, stream: int | None = None) -> Any:
        self.asked.append({"stream": stream})
        return self.held.__dlpack__()


class VersionedArray(DlpackArray):
    """DLPack 1.0, which says what must not be written to."""

    def __init__(self, held: Tensor, device: int = 0, *, read_only: bool = False) -> None:
        super().__init__(held, device)
        self.numbers = held.numpy()
        if read_only:
            self.numbers.flags.writeable = False

    def __dlpack__(self, stream: int | None = None, max_version: tuple[int, int] | None = None) -> Any:
        self.asked.append({"stream": stream, "max_version": max_version})
        return self.numbers.__dlpack__(max_version=max_version)


class InterfaceArray:
    """``__cuda_array_interface__``."""

    def __init__(self, held: Tensor, **said: Any) -> None:
        self.held = held.numpy()
        contiguous = bool(self.held.flags.c_contiguous)
        self.said = {
            "data": (self.held.ctypes.data, False),
            "shape": self.held.shape,
            "strides": None if contiguous else self.held.strides,
            "typestr": self.held.dtype.str,
            "version": 3,
            **said,
        }

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.said


class CupyArray:
    """What CuPy's arrays have of their own."""

    def __init__(self, held: Any, device: int = 0) -> None:
        self.held = np.asarray(held)
        self.data = SimpleNamespace(ptr=self.held.ctypes.data, device_id=device)
        self.flags = self.held.flags
        self.shape, self.strides, self.dtype = self.held.shape, self.held.strides, self.held.dtype


CupyArray.__module__ = "cupy"


class CupyStream:
    """A stream; ``with`` makes it the current one."""

    def __init__(self, ptr: int, current: list[int]) -> None:
        self.ptr = ptr
        self._current = current

    def __enter__(self) -> CupyStream:
        self._current.append(self.ptr)
        return self

    def __exit__(self, *error: object) -> None:
        self._current.pop()


class FakeCupy(ModuleType):
    """Stands for ``cupy``.

    Attributes:
        streams: the current stream of each GPU.
        made: for each new array its GPU and the stream that was current.
    """

    def __init__(self) -> None:
        super().__init__("cupy")
        self.streams: dict[int, int] = {}
        self.made: list[tuple[int, int]] = []
        self._devices, self._entered = [0], [0]
        streams = SimpleNamespace(null=self.stream(0), from_external=self._foreign)
        self.cuda = SimpleNamespace(
            Device=self._device,
            get_current_stream=self._stream,
            Stream=streams,
            ExternalStream=self.stream,
        )

    def stream(self, ptr: int) -> CupyStream:
        return CupyStream(ptr, self._entered)

    def empty(self, shape: Sequence[int], dtype: Any) -> CupyArray:
        self.made.append((self._devices[-1], self._entered[-1]))
        held = np.empty(shape, dtype)
        held.view(np.uint8)[...] = 0xFF  # NaN, where nothing is written
        return CupyArray(held, self._devices[-1])

    def moveaxis(self, array: CupyArray, source: int, target: int) -> CupyArray:
        return CupyArray(np.moveaxis(array.held, source, target), array.data.device_id)

    def _device(self, index: int) -> Any:
        return CupyStream(index, self._devices)

    def _foreign(self, stream: Any) -> CupyStream:
        version, ptr = stream.__cuda_stream__()
        assert version == 0
        return self.stream(ptr)

    def _stream(self, device: int = -1) -> CupyStream:
        return self.stream(self.streams.get(max(device, 0), 0))


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    """CuPy is installed."""
    fake = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return fake


def of_cupy(held: Tensor) -> CupyArray:
    """A tensor's memory as an array of CuPy."""
    if held.dtype == torch.bfloat16:
        return CupyArray(held.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return CupyArray(held.numpy())


MAKERS: dict[str, Callable[[Tensor], Any]] = {
    "CuPy": of_cupy,
    "DLPack": DlpackArray,
    "versioned DLPack": VersionedArray,
    "__cuda_array_interface__": InterfaceArray,
}
