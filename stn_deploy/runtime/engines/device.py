"""The GPU through NVIDIA's cuda-bindings: memory, streams, events, graphs. The only file that calls CUDA."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import EngineError, MissingDependency

_FREED_BY = {
    "memory": "cudaFree",
    "pinned memory": "cudaFreeHost",
    "stream": "cudaStreamDestroy",
    "event": "cudaEventDestroy",
    "graph": "cudaGraphExecDestroy",
}
_NODES = ("nvidia[0-9]*", "nvhost-gpu", "nvgpu/igpu0/*", "dxg")
"""What a driver shows in /dev: on a desktop or server, on two kinds of Jetson, and in Windows' Linux."""


class Gpu(NamedTuple):
    """name: as its maker has it. compute_capability: such as 8.6."""

    name: str
    compute_capability: str


def has_driver(devices: Path = Path("/dev")) -> bool:
    """Whether a driver of NVIDIA shows a device; it costs microseconds and loads nothing."""
    return any(next(devices.glob(node), None) is not None for node in _NODES)


def _cuda() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingDependency(
            "cuda-bindings is not installed, which comes with the extras gpu, tensorrt and tensorrt-rtx; "
            "pip install -c constraints.txt cuda-bindings in the checkout, or pip install cuda-bindings"
        ) from error
    except (OSError, RuntimeError) as error:
        raise EngineError(f"cuda-bindings: is installed, but does not load: {error}") from error
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
    """One GPU, and all that was made on it; `close` gives everything back.

    Addresses and handles are plain numbers. Calls come from one thread at a time; each thread calls within
    `current`, which leaves its own choice of a GPU as it was.
    """

    def __init__(self, index: int = 0) -> None:
        """Take the GPU of a number.

        Raises:
            EngineError: CUDA does not start. MissingDependency: cuda-bindings is not installed.
        """
        self._cuda = _cuda()
        self._held: dict[tuple[str, int], int] = {}
        self.index = index
        with self.current():
            self._call("cudaFree", 0)  # starts CUDA here, so that what fails later is not its start

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """It is the GPU of the calling thread within ``with``."""
        status, before = self._cuda.cudaGetDevice()
        known = status == self._cuda.cudaError_t.cudaSuccess
        if known and before == self.index:
            yield
            return
        self._call("cudaSetDevice", self.index)
        try:
            yield
        finally:
            if known:
                self._call("cudaSetDevice", before)

    def held(self, kind: str) -> int:
        """How much there is now of a kind: bytes of memory or pinned memory, or a number of the others."""
        return sum(size for (each, _), size in self._held.items() if each == kind)

    def memory(self, size: int) -> int:
        """Bytes on the GPU; they hold anything."""
        return self._keep("memory", self._call("cudaMalloc", max(size, 1)), size)

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """Bytes of the host that the GPU copies by itself, all 0; gone after `free` of their address."""
        address = self._call("cudaHostAlloc", max(size, 1), self._cuda.cudaHostAllocDefault)
        self._keep("pinned memory", address, size)
        room: Any = (ctypes.c_uint8 * size).from_address(int(address))
        found: NDArray[np.uint8] = np.frombuffer(room, np.uint8)
        found.fill(0)
        return found

    def stream(self) -> int:
        """A line of work that waits for none of the others."""
        return self._keep("stream", self._call("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking))

    def event(self, *, timing: bool = False) -> int:
        """A mark in a stream that others can wait for."""
        flags = self._cuda.cudaEventDefault if timing else self._cuda.cudaEventDisableTiming
        return self._keep("event", self._call("cudaEventCreateWithFlags", flags))

    def free(self, kind: str, handle: int) -> None:
        """Give one thing back; what was given back before is passed over."""
        if self._held.pop((kind, handle), None) is not None:
            self._call(_FREED_BY[kind], handle)

    def lend(self, address: int) -> None:
        """Memory that outlives the device: `close` leaves it, `take_back` frees it."""
        del self._held["memory", address]

    def take_back(self, address: int) -> None:
        """Free memory that was lent, after all that the GPU does now."""
        with self.current():
            self._call("cudaFree", address)

    def upload(self, address: int, source: NDArray[Any], stream: int) -> None:
        """Queue a copy to the GPU; from pinned memory it is read when its turn comes."""
        self._copy(address, source.ctypes.data, source.nbytes, "HostToDevice", stream)

    def download(self, target: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy from the GPU; it is there once the stream has come so far."""
        self._copy(target.ctypes.data, address, target.nbytes, "DeviceToHost", stream)

    def copy(self, target: int, source: int, size: int, stream: int) -> None:
        """Queue a copy within the GPU."""
        self._copy(target, source, size, "DeviceToDevice", stream)

    def record(self, event: int, stream: int) -> None:
        """Move an event to the end of what was queued on a stream so far."""
        self._call("cudaEventRecord", event, stream)

    def order(self, stream: int, event: int) -> None:
        """What is queued on a stream from now on waits for an event."""
        self._call("cudaStreamWaitEvent", stream, event, 0)

    def wait(self, event: int) -> None:
        """Until an event has passed; one that was never recorded has."""
        self._call("cudaEventSynchronize", event)

    def wait_stream(self, stream: int) -> None:
        """Until all that was queued on a stream is done."""
        self._call("cudaStreamSynchronize", stream)

    def wait_all(self) -> None:
        """Until the GPU has nothing to do, whoever asked for it."""
        self._call("cudaDeviceSynchronize")

    def milliseconds(self, start: int, end: int) -> float:
        """Between two events that were made for timing and have passed."""
        return float(self._call("cudaEventElapsedTime", start, end))

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """What ``work`` queues on a stream, as a graph; nothing of it runs.

        Raises:
            EngineError: it cannot be captured; the stream is as before.
        """
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)
        try:
            work()
        except BaseException:
            _, *graphs = self._cuda.cudaStreamEndCapture(stream)
            self._forget(graphs[0] if graphs else None)
            raise
        status, graph = self._cuda.cudaStreamEndCapture(stream)
        try:
            _checked(self._cuda, "cudaStreamEndCapture", (status, graph))
            return self._keep("graph", self._call("cudaGraphInstantiate", graph, 0))
        finally:
            self._forget(graph)

    def launch(self, graph: int, stream: int) -> None:
        """Queue all that a graph holds."""
        self._call("cudaGraphLaunch", graph, stream)

    def close(self) -> None:
        """Give all back, after what was queued is done. Where the GPU fails, nothing more can be had back."""
        if not self._held:
            return
        with contextlib.suppress(EngineError), self.current():
            for kind, handle in list(self._held):
                if kind == "stream":
                    with contextlib.suppress(EngineError):
                        self.wait_stream(handle)
            for kind, handle in reversed(list(self._held)):
                with contextlib.suppress(EngineError):
                    self.free(kind, handle)

    def _forget(self, graph: Any) -> None:
        """Drop a graph that was captured, and the error that an invalid capture leaves behind."""
        if graph is not None and int(graph):
            self._cuda.cudaGraphDestroy(graph)
        self._cuda.cudaGetLastError()

    def _keep(self, kind: str, handle: Any, size: int = 1) -> int:
        self._held[kind, int(handle)] = size
        return int(handle)

    def _copy(self, target: int, source: int, size: int, way: str, stream: int) -> None:
        kind = getattr(self._cuda.cudaMemcpyKind, f"cudaMemcpy{way}")
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            results = getattr(self._cuda, name)(*arguments)
        except RuntimeError as error:  # a driver that is too old for the bindings
            raise EngineError(f"CUDA: {name} failed: {error}") from error
        return _checked(self._cuda, name, results)

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
