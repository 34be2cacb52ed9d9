"""Batches through two slots: while one is computed, the next is packed and copied."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import EngineError
from stn_deploy.runtime.engines import DeviceGraph
from stn_deploy.runtime.engines.buckets import Batch
from stn_deploy.runtime.engines.device import Device
from stn_deploy.runtime.engines.launches import Launches
from stn_deploy.runtime.engines.staging import Slot

Finish = Callable[[Batch, dict[str, NDArray[Any]]], None]
Deliver = Callable[[Batch, dict[str, int]], None]
SLOTS = 2


class Runner:
    """Runs a graph over many batches, on three streams: copies in, the graph, copies out.

    For each slot the host waits until its batch is done before it fills it again; on the GPU the graph waits
    for the copy in, and the copy out for the graph. So at any time one batch is computed while another one is
    packed, copied in or copied out. One thread at a time; the GPU is current.
    """

    def __init__(self, device: Device, graph: DeviceGraph, *, stream: int, **settings: int) -> None:
        """Take memory for two batches.

        Args:
            stream: that the graph runs on. settings: of `Launches`.
        """
        self._device, self._compute = device, stream
        self._in, self._out = device.stream(), device.stream()
        self._slots = [Slot(device, graph.buckets, graph.outputs) for _ in range(SLOTS)]
        self.launches = Launches(device, stream, graph, **settings)

    def to_host(
        self,
        images: Sequence[NDArray[np.uint8]],
        batches: Sequence[Batch],
        finish: Finish,
        *,
        rectified: bool,
    ) -> None:
        """Run batches, and hand over the results of each, in order.

        Args:
            images: that the batches choose from.
            finish: gets each batch and its outputs, which it copies before it returns.
            rectified: whether the pixels are copied to the host; without, they hold anything.
        Raises:
            EngineError: the GPU fails; no work is left behind.
        """
        waiting: list[tuple[Slot, Batch]] = []

        def collect() -> None:
            slot, batch = waiting.pop(0)
            self._device.wait(slot.done)
            finish(batch, slot.results(batch))

        def after(slot: Slot, batch: Batch) -> None:
            self._device.order(self._out, slot.computed)
            slot.fetch(batch.size, self._out, rectified=rectified)
            self._device.record(slot.done, self._out)

        with self._whole():
            for number, batch in enumerate(batches):
                if len(waiting) == SLOTS:
                    collect()
                waiting.append((self._run(number % SLOTS, images, batch, after), batch))
            while waiting:
                collect()

    def on_device(
        self, images: Sequence[NDArray[np.uint8]], batches: Sequence[Batch], deliver: Deliver
    ) -> None:
        """Run batches whose results stay on the GPU; it returns when the last one is queued.

        Args:
            deliver: gets each batch and the addresses of its outputs, and queues their copies on the stream
                of the graph.
        Raises:
            EngineError: as `to_host`.
        """

        def after(slot: Slot, batch: Batch) -> None:
            deliver(batch, slot.addresses(batch.size))
            self._device.record(slot.done, self._compute)

        with self._whole():
            for number, batch in enumerate(batches):
                self._run(number % SLOTS, images, batch, after)

    def clear(self) -> None:
        """Let go of what is ready; its memory goes with the `Device`."""
        self.launches.clear()

    def _run(
        self,
        number: int,
        images: Sequence[NDArray[np.uint8]],
        batch: Batch,
        after: Callable[[Slot, Batch], None],
    ) -> Slot:
        """Queue one batch on a slot, once that is free, up to what follows the graph."""
        slot = self._slots[number]
        self._device.wait(slot.done)
        slot.fill(batch, [images[place] for place in batch.places], self._in)
        self._device.record(slot.uploaded, self._in)
        self._device.order(self._compute, slot.uploaded)
        self.launches.launch((number, batch.size, batch.canvas), lambda: slot.addresses(batch.size))
        self._device.record(slot.computed, self._compute)
        after(slot, batch)
        return slot

    @contextlib.contextmanager
    def _whole(self) -> Any:
        """Where something fails, what was queued ends first, and what was ready is made anew."""
        try:
            yield
        except BaseException:
            for stream in (self._in, self._compute, self._out):
                with contextlib.suppress(EngineError):
                    self._device.wait_stream(stream)
            self.launches.clear()
            raise
