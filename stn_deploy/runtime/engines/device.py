"""The GPU through NVIDIA's cuda-bindings: what it is, its memory, a stream. The only file that calls CUDA."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import EngineError, MissingDependency


class Gpu(NamedTuple):
    """name: as its maker has it. compute_capability: such as 8.6."""

    name: str
    compute_capability: str


def _cuda() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingDependency(
            "cuda-bindings is not installed, which comes with the extras tensorrt and tensorrt-rtx; "
            "pip install -c constraints.txt cuda-bindings in the checkout, or pip install cuda-bindings"
        ) from error
    return runtime


def _checked(cuda: Any, call: str, results: tuple[Any, ...]) -> Any:
    """What a call returned beside its status."""
    status, *values = results
    if status != cuda.cudaError_t.cudaSuccess:
        _, text = cuda.cudaGetErrorString(status)
        raise EngineError(f"CUDA: {call} failed: {bytes(text).decode()}")
    return values[0] if values else None


def find_gpu(index: int = 0) -> Gpu:
    """The GPU of a number.

    Raises:
        EngineError: there is none, or its driver does not answer.
        MissingDependency: cuda-bindings is not installed.
    """
    cuda = _cuda()
    try:
        count = _checked(cuda, "cudaGetDeviceCount", cuda.cudaGetDeviceCount())
    except EngineError as error:
        raise EngineError(f"expected an NVIDIA GPU and its driver, found none ({error})") from error
    if index >= count:
        raise EngineError(f"expected GPU {index}, found {count} of them")
    found = _checked(cuda, "cudaGetDeviceProperties", cuda.cudaGetDeviceProperties(index))
    return Gpu(bytes(found.name).split(b"\0")[0].decode(), f"{found.major}.{found.minor}")


class Device:
    """Memory for named tensors on one GPU, and the stream that all its work is queued on."""

    def __init__(self, index: int = 0) -> None:
        """Take the GPU of a number.

        Raises:
            EngineError: CUDA does not start. MissingDependency: cuda-bindings is not installed.
        """
        self._cuda = _cuda()
        self._memory: dict[str, tuple[int, int]] = {}
        self._index = index
        self.activate()
        self._stream = self._call("cudaStreamCreate")
        self.stream = int(self._stream)

    def activate(self) -> None:
        """Make it the GPU of the calling thread."""
        self._call("cudaSetDevice", self._index)

    def address(self, name: str, size: int) -> int:
        """Where the tensor ``name`` lies, with room for ``size`` bytes; what it held may be lost."""
        address, room = self._memory.get(name, (0, 0))
        if room < size or not address:
            if address:
                self._call("cudaStreamSynchronize", self._stream)
                del self._memory[name]
                self._call("cudaFree", address)
            address = int(self._call("cudaMalloc", max(size, 1)))
            self._memory[name] = (address, max(size, 1))
        return address

    def upload(self, name: str, values: NDArray[Any]) -> int:
        """Copy an array into the tensor ``name``; returns its address."""
        values = np.ascontiguousarray(values)
        address = self.address(name, values.nbytes)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, values.ctypes.data, values.nbytes, kind, self._stream)
        return address

    def download(self, name: str, values: NDArray[Any]) -> None:
        """Copy the tensor ``name`` into an array, which is complete after `wait`."""
        address, _ = self._memory[name]
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", values.ctypes.data, address, values.nbytes, kind, self._stream)

    def wait(self) -> None:
        """Until all that was queued is done."""
        self._call("cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        """Give memory and stream back; nothing more can be queued."""
        if self._stream is None:
            return
        self._call("cudaStreamSynchronize", self._stream)
        for address, _ in self._memory.values():
            self._call("cudaFree", address)
        self._memory.clear()
        self._call("cudaStreamDestroy", self._stream)
        self._stream = None

    def _call(self, name: str, *arguments: Any) -> Any:
        return _checked(self._cuda, name, getattr(self._cuda, name)(*arguments))

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
