"""Runs that are ready, one for each size of batch that occurs, as CUDA graphs where that can be."""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from stn_deploy.errors import EngineError
from stn_deploy.runtime.engines import Bound, DeviceGraph
from stn_deploy.runtime.engines.buckets import Canvas
from stn_deploy.runtime.engines.device import Device

Key = tuple[int, int, Canvas]
"""Number of the slot, size of the batch, canvas."""

LARGEST_NUMBER = 32
"""How many are kept; each is an execution context and perhaps a graph, some megabytes together."""

_logger = logging.getLogger(__name__)


@dataclass
class _Ready:
    bound: Bound
    warm: bool = False
    graph: int | None = None


class Launches:
    """Runs of a graph on one stream; those that were not used for longest go first.

    The first run of a size is queued as it is, for libraries prepare themselves in it; the second is
    captured, and from then on replayed. What cannot be captured is queued as it is for ever.

    refusal: why nothing is captured any more; None as long as it is.
    """

    def __init__(
        self, device: Device, stream: int, graph: DeviceGraph, *, largest_number: int = LARGEST_NUMBER
    ) -> None:
        """Nothing is ready yet."""
        self._device, self._stream, self._graph = device, stream, graph
        self._limit = largest_number
        self._ready: OrderedDict[Key, _Ready] = OrderedDict()
        self.refusal: str | None = None if graph.capturable else "the engine cannot be captured"

    def __len__(self) -> int:
        return len(self._ready)

    def launch(self, key: Key, addresses: Callable[[], dict[str, int]]) -> None:
        """Queue one run.

        Args:
            addresses: of its inputs and outputs, always the same for one key; asked for at its first run.
        Raises:
            EngineError: it cannot be queued.
        """
        ready = self._ready.get(key)
        if ready is None:
            self._make_room()
            _, size, canvas = key
            ready = self._ready[key] = _Ready(self._graph.bind(size, canvas, addresses()))
        self._ready.move_to_end(key)
        if ready.warm and ready.graph is None and self.refusal is None:
            try:
                ready.graph = self._device.capture(self._stream, ready.bound.enqueue)
            except EngineError as error:
                self.refusal = str(error)
                _logger.warning("runs are queued one by one, for they cannot be captured: %s", error)
        if ready.graph is None:
            ready.bound.enqueue()
            ready.warm = True
        else:
            self._device.launch(ready.graph, self._stream)

    def clear(self) -> None:
        """Let go of all; what was queued is waited for, where the GPU still answers."""
        with contextlib.suppress(EngineError):
            self._device.wait_stream(self._stream)
        while self._ready:
            self._drop(self._ready.popitem()[1])

    def _make_room(self) -> None:
        if len(self._ready) < self._limit:
            return
        self._device.wait_stream(self._stream)  # it may be running
        self._drop(self._ready.popitem(last=False)[1])

    def _drop(self, ready: _Ready) -> None:
        if ready.graph is not None:
            with contextlib.suppress(EngineError):
                self._device.free("graph", ready.graph)
        ready.bound.close()
