"""A CUDA runtime without a GPU that is as lazy as CUDA allows: work is done when somebody waits for it.

Its memory is the host's, at true addresses. A copy from pinned memory reads when its turn comes, so what is
written there too early, read too early, freed too early or not waited for gives wrong pixels or an assertion.
With a seed, queued work is also done at random earlier times, in any order that streams and events allow.
"""

# ruff: noqa: N801, N815, the names are CUDA's

from __future__ import annotations

import ctypes
import functools
import threading
from collections import Counter, deque
from collections.abc import Callable
from enum import IntEnum
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from tests.fake_cuda import FakeCuda

LEGACY, PER_THREAD = 1, 2
GARBAGE = 0xA7


def _api(method: Callable[..., Any]) -> Callable[..., Any]:
    """One call of CUDA: counted, broken where a test asks for it, one at a time."""
    name = method.__name__

    @functools.wraps(method)
    def call(self: LazyCuda, *arguments: Any) -> Any:
        with self.lock:
            self.calls[name] += 1
            self.somebody_else_works()
            if self.breaks.get(name, 0):
                self.breaks[name] -= 1
                if not self.breaks[name]:
                    self.broken += 1
                    if name == "cudaStreamEndCapture":  # it ends, whatever it says
                        self.streams[arguments[0]].captured = None
                    returned = {"cudaGetDevice", *(each for each in MAKERS)}
                    status = self.cudaError_t.cudaErrorUnknown
                    return (status, None) if name in returned else (status,)
            return method(self, *arguments)

    return call


MAKERS = {
    "cudaMalloc": "memory",
    "cudaHostAlloc": "pinned memory",
    "cudaStreamCreateWithFlags": "stream",
    "cudaEventCreateWithFlags": "event",
    "cudaStreamEndCapture": "captured graph",
    "cudaGraphInstantiate": "graph",
}


class Stream:
    """Work in its order. captured: what is recorded instead of queued, None where nothing is."""

    def __init__(self) -> None:
        self.queue: deque[Callable[[], None]] = deque()
        self.captured: list[Callable[[], None]] | None = None
        self.valid = True

    def append(self, work: Callable[[], None]) -> None:
        (self.queue if self.captured is None else self.captured).append(work)

    def step(self) -> None:
        self.queue.popleft()()

    def finish(self) -> None:
        while self.queue:
            self.step()


class _Mark:
    """A place in a stream that an event was recorded at."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.passed = stream, False

    def pass_by(self) -> None:
        self.passed = True

    def reach(self) -> None:
        while not self.passed:
            self.stream.step()


class LazyCuda(FakeCuda):
    """Stands for ``cuda.bindings.runtime``; see above.

    breaks: for a call's name after how many calls, this one included, it fails once. live: what was made and
    not yet given back, by kind. most: the most bytes of memory and pinned memory there ever were.
    """

    class cudaError_t(IntEnum):
        cudaSuccess = 0
        cudaErrorInvalidValue = 1
        cudaErrorMemoryAllocation = 2
        cudaErrorInsufficientDriver = 35
        cudaErrorStreamCaptureUnsupported = 900
        cudaErrorStreamCaptureInvalidated = 901
        cudaErrorUnknown = 999

    class cudaMemcpyKind(IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2
        cudaMemcpyDeviceToDevice = 3

    class cudaStreamCaptureMode(IntEnum):
        cudaStreamCaptureModeThreadLocal = 1

    cudaHostAllocDefault = cudaEventDefault = 0
    cudaEventDisableTiming = 2

    def __init__(self, *, seed: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.lock = threading.RLock()
        self.calls: Counter[str] = Counter()
        self.breaks: dict[str, int] = {}
        self.broken = 0
        self.most: Counter[str] = Counter()
        self._random = None if seed is None else Random(seed)
        self._blocks: dict[str, dict[int, Any]] = {"memory": {}, "pinned memory": {}}
        self.streams: Any = {LEGACY: Stream(), PER_THREAD: Stream()}
        self._events: dict[int, _Mark | None] = {}
        self._graphs: dict[str, dict[int, list[Callable[[], None]]]] = {"captured graph": {}, "graph": {}}
        self.memory: Any = _Inside(self._blocks["memory"])

    @property
    def live(self) -> dict[str, int]:
        counts = {kind: len(blocks) for kind, blocks in self._blocks.items()}
        counts |= {kind: len(graphs) for kind, graphs in self._graphs.items()}
        counts |= {"stream": len(self.streams) - 2, "event": len(self._events)}
        return {kind: count for kind, count in counts.items() if count}

    def bytes_of(self, kind: str) -> int:
        return sum(len(block) for block in self._blocks[kind].values())

    def break_call(self, name: str, after: int = 1) -> None:
        """Let the call of a name fail, once, after so many calls of it."""
        self.breaks[name] = after

    def somebody_else_works(self) -> None:
        """Work that is queued may be done at any time."""
        if self._random is None:
            return
        for stream in self._random.sample(sorted(self.streams), len(self.streams)):
            queue = self.streams[stream].queue
            for _ in range(self._random.randint(0, 3)):
                if queue:
                    self.streams[stream].step()

    def finish_all(self) -> None:
        for stream in list(self.streams.values()):
            stream.finish()

    def numbers(self, address: int, size: int, kinds: tuple[str, ...] = ("memory",)) -> Any:
        """Bytes at an address, which must all lie in one block."""
        for kind in kinds:
            for start, block in self._blocks[kind].items():
                if start <= address < start + len(block):
                    assert address + size <= start + len(block), "past the end of a block"
                    return block[address - start : address - start + size]
        raise AssertionError(f"{address:#x}: no {' or '.join(kinds)} there")

    def write(self, address: int, values: Any) -> None:
        self.numbers(address, values.nbytes)[:] = values.view(np.uint8).reshape(-1)

    def read(self, address: int, size: int) -> Any:
        return self.numbers(address, size).copy()

    def _ok(self, *values: Any) -> tuple[Any, ...]:
        return (self.cudaError_t.cudaSuccess, *values)

    def _is_unsafe(self) -> bool:
        """Whether a stream is being captured, which an unsafe call spoils."""
        capturing = [stream for stream in self.streams.values() if stream.captured is not None]
        for stream in capturing:
            stream.valid = False
        return bool(capturing)

    def _block(self, kind: str, size: int) -> tuple[Any, ...]:
        if self._is_unsafe():
            return self.cudaError_t.cudaErrorStreamCaptureUnsupported, None
        if self.bytes_of(kind) + size > self.room:
            return self.cudaError_t.cudaErrorMemoryAllocation, None
        block = np.full(size, GARBAGE, np.uint8)
        address = int(block.ctypes.data)
        self._blocks[kind][address] = block
        self.most[kind] = max(self.most[kind], self.bytes_of(kind))
        self.used.add(self.device)
        return self._ok(address)

    @_api
    def cudaGetDevice(self) -> tuple[Any, ...]:
        return self._ok(self.device)

    @_api
    def cudaSetDevice(self, index: int) -> tuple[Any, ...]:
        self.device = index
        return self._ok()

    @_api
    def cudaGetLastError(self) -> tuple[Any, ...]:
        return self._ok()

    @_api
    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        return self._block("memory", size)

    @_api
    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        return self._block("pinned memory", size)

    @_api
    def cudaFree(self, address: int) -> tuple[Any, ...]:
        if address:
            self.finish_all()
            self._blocks["memory"].pop(address).fill(GARBAGE)
        return self._ok()

    @_api
    def cudaFreeHost(self, address: int) -> tuple[Any, ...]:
        assert not any(stream.queue for stream in self.streams.values()), "pinned memory freed in use"
        self._blocks["pinned memory"].pop(address).fill(GARBAGE)
        return self._ok()

    @_api
    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        assert flags == self.cudaStreamNonBlocking
        stream = self._fresh()
        self.streams[stream] = Stream()
        return self._ok(stream)

    @_api
    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        self.streams.pop(stream).finish()
        return self._ok()

    @_api
    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        if self.streams[stream].captured is not None:
            self.streams[stream].valid = False
            return (self.cudaError_t.cudaErrorStreamCaptureUnsupported,)
        self.streams[stream].finish()
        return self._ok()

    @_api
    def cudaDeviceSynchronize(self) -> tuple[Any, ...]:
        self.finish_all()
        return self._ok()

    @_api
    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        event = self._fresh()
        self._events[event] = None
        return self._ok(event)

    @_api
    def cudaEventDestroy(self, event: int) -> tuple[Any, ...]:
        del self._events[event]
        return self._ok()

    @_api
    def cudaEventRecord(self, event: int, stream: int) -> tuple[Any, ...]:
        assert event in self._events, "an event that was destroyed"
        mark = self._events[event] = _Mark(self.streams[stream])
        self.streams[stream].append(mark.pass_by)
        return self._ok()

    @_api
    def cudaEventSynchronize(self, event: int) -> tuple[Any, ...]:
        mark = self._events[event]
        if mark is not None:
            mark.reach()
        return self._ok()

    @_api
    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple[Any, ...]:
        mark = self._events[event]
        if mark is not None:
            self.streams[stream].append(mark.reach)
        return self._ok()

    @_api
    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: Any, stream: int) -> tuple[Any, ...]:
        kinds = self.cudaMemcpyKind
        if kind == kinds.cudaMemcpyHostToDevice:
            try:
                read: Any = functools.partial(self.numbers, source, size, ("pinned memory",))
                read()
            except AssertionError:  # pageable memory is staged at once
                staged = np.frombuffer(ctypes.string_at(source, size), np.uint8)
                read = lambda: staged  # noqa: E731
            self.streams[stream].append(lambda: self.write(target, read()))
        elif kind == kinds.cudaMemcpyDeviceToHost:
            self.streams[stream].append(lambda: _to_host(target, self.numbers(source, size)))
        else:
            self.streams[stream].append(lambda: self.write(target, self.numbers(source, size)))
        return self._ok()

    @_api
    def cudaStreamBeginCapture(self, stream: int, mode: Any) -> tuple[Any, ...]:
        assert mode == self.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        found = self.streams[stream]
        assert found.captured is None
        found.captured, found.valid = [], True
        return self._ok()

    @_api
    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        found = self.streams[stream]
        works, found.captured = found.captured, None
        if not found.valid:
            return self.cudaError_t.cudaErrorStreamCaptureInvalidated, None
        graph = self._fresh()
        self._graphs["captured graph"][graph] = works or []
        return self._ok(graph)

    @_api
    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[Any, ...]:
        made = self._fresh()
        self._graphs["graph"][made] = list(self._graphs["captured graph"][graph])
        return self._ok(made)

    @_api
    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[Any, ...]:
        def replay() -> None:
            for work in self._graphs["graph"][graph]:  # not there any more: destroyed in use
                work()

        assert graph in self._graphs["graph"]
        self.streams[stream].append(replay)
        return self._ok()

    @_api
    def cudaGraphDestroy(self, graph: int) -> tuple[Any, ...]:
        del self._graphs["captured graph"][graph]
        return self._ok()

    @_api
    def cudaGraphExecDestroy(self, graph: int) -> tuple[Any, ...]:
        del self._graphs["graph"][graph]
        return self._ok()


class _Inside:
    """Whether an address lies in a block."""

    def __init__(self, blocks: dict[int, Any]) -> None:
        self._blocks = blocks

    def __contains__(self, address: int) -> bool:
        return any(start <= address < start + len(block) for start, block in self._blocks.items())


def _to_host(address: int, values: Any) -> None:
    ctypes.memmove(address, values.ctypes.data, values.nbytes)


assert issubclass(LazyCuda, ModuleType)
