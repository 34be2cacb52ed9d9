"""A rectifier's full graph on a GPU, for images of any sizes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ClosedError, ShapeError
from stn_deploy.runtime.engines import DeviceGraph, Localisation, Straightened
from stn_deploy.runtime.engines.buckets import Batch
from stn_deploy.runtime.engines.device import Device
from stn_deploy.runtime.engines.device_batch import DeviceBatch
from stn_deploy.runtime.engines.results import BlockPool
from stn_deploy.runtime.engines.runner import Runner
from stn_deploy.runtime.engines.staging import Layout, Outputs, shrunk
from stn_deploy.runtime.forks import keep_for_ever

Load = Callable[[Device, int], DeviceGraph]
"""Loads a graph onto a GPU that is current, to run on a stream of it."""


class GpuRectifierEngine:
    """Straightens images of any sizes on a GPU; see `stn_deploy.runtime.engines.Engine`.

    Any number of threads may share it; their calls take turns. Memory is bounded: two batches of at most
    `Buckets.room` bytes, on the host (pinned) and on the GPU, what the graph itself needs, and the results
    that are held on the GPU. A fork of the process cannot use it.
    """

    def __init__(self, load: Load, *, gpu: int = 0, held: int = 8, launches: int = 32) -> None:
        """Start CUDA, load the graph, take memory.

        Args:
            load: makes the graph. gpu: number of the GPU.
            held: how many results of `straighten_on_device` may be held at a time.
            launches: how many sizes are kept ready; see `stn_deploy.runtime.engines.launches.Launches`.
        Raises:
            EngineError: no GPU, no room on it, or the graph cannot be loaded.
            MissingDependency: cuda-bindings, or what runs the graph, is not installed.
        """
        self._graph: DeviceGraph | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._device = Device(gpu)
        try:
            with self._device.current():
                self._stream = self._device.stream()
                self._graph = load(self._device, self._stream)
                self._outputs: Outputs = self._graph.outputs
                self._buckets = self._graph.buckets
                self._runner = Runner(self._device, self._graph, stream=self._stream, largest_number=launches)
                self._pool = BlockPool(self._device, self._stream, largest_number=held)
        except BaseException:
            graph, self._graph = self._graph, None
            if graph is not None:
                graph.close()
            self._device.close()
            raise

    @property
    def uncaptured(self) -> str | None:
        """Why runs are queued one by one and not as CUDA graphs; None where they are graphs."""
        return self._runner.launches.refusal

    def straighten(self, images: Sequence[NDArray[np.uint8]], *, rectified: bool = True) -> Straightened:
        """Find theta and score, and sample; see `stn_deploy.runtime.engines.Engine`.

        Raises:
            ShapeError: an array that is not (h, w, 3) uint8.
            ClosedError, EngineError: as the protocol says.
        """
        fitting, sampled = self._fitting(images)
        batches = self._buckets.plan((image.shape[0], image.shape[1]) for image in fitting)
        found: dict[str, NDArray[np.float32]] = {
            name: np.empty((len(images), *row), np.float32)
            for name, (row, _) in self._outputs.items()
            if rectified or name != "rectified"
        }

        def finish(batch: Batch, outputs: dict[str, NDArray[Any]]) -> None:
            places = list(batch.places)
            for name, values in found.items():
                values[places] = outputs[name]

        with self._in_turn():
            self._runner.to_host(fitting, batches, finish, rectified=rectified)
        localisation = Localisation(found["theta"], found["score"])
        return Straightened(localisation, found.get("rectified"), sampled)

    def straighten_on_device(self, images: Sequence[NDArray[np.uint8]]) -> DeviceBatch:
        """Straighten images whose results stay on the GPU; the work is queued, not waited for.

        Raises:
            ShapeError, ClosedError: as `straighten`.
            EngineError: the GPU fails, or too many results are held already.
        """
        fitting, sampled = self._fitting(images)
        batches = self._buckets.plan((image.shape[0], image.shape[1]) for image in fitting)
        layout = Layout.of(self._outputs, len(images))
        with self._in_turn():
            lease = self._pool.take(layout.end)

            def deliver(batch: Batch, addresses: dict[str, int]) -> None:
                self._deliver(batch, addresses, lease.block.address, layout)

            self._runner.on_device(fitting, batches, deliver)
            self._device.record(lease.block.written, self._stream)
        return DeviceBatch(self._device, self._pool, self._lock, self._stream, self._outputs, lease, sampled)

    def close(self) -> None:
        """Give all memory back, once running calls are over; results that are held stay."""
        if self._process != os.getpid():
            keep_for_ever(self._graph)  # its threads and its GPU belong to the parent
            self._graph = None
            return
        with self._lock:
            graph, self._graph = self._graph, None
            if graph is None:
                return
            with self._device.current():
                self._runner.clear()  # waits for all that was queued
                self._pool.close()
                graph.close()
                self._device.close()

    def __del__(self) -> None:
        # When the interpreter ends, so does all that it has on the GPU; CUDA may be gone already.
        if getattr(self, "_graph", None) is not None and not sys.is_finalizing():
            self.close()

    def __enter__(self) -> GpuRectifierEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deliver(self, batch: Batch, addresses: dict[str, int], block: int, layout: Layout) -> None:
        """Queue the copies of a batch's results to their places; neighbours go together."""
        for name, (row, kind) in self._outputs.items():
            size = int(np.prod(row, dtype=np.int64)) * kind.itemsize
            start = block + layout.starts[name]
            for _, run in groupby(enumerate(batch.places), key=lambda pair: pair[1] - pair[0]):
                first, *more = run
                source = addresses[name] + first[0] * size
                self._device.copy(start + first[1] * size, source, (1 + len(more)) * size, self._stream)

    def _fitting(
        self, images: Sequence[NDArray[np.uint8]]
    ) -> tuple[list[NDArray[np.uint8]], NDArray[np.bool_]]:
        """Images that fit the largest canvas, and which of them are whole."""
        for index, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise ShapeError(
                    f"image {index}: expected (h, w, 3) uint8, got {image.shape} {image.dtype}; "
                    "stn_deploy.data.as_bgr converts grey, 16-bit and transparent images"
                )
        factors = [self._buckets.factor(*image.shape[:2]) for image in images]
        fitting = [
            shrunk(image, factor) if factor > 1 else image
            for image, factor in zip(images, factors, strict=True)
        ]
        return fitting, np.array([factor == 1 for factor in factors], np.bool_)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One call at a time, on an open engine of this process, whose GPU is current."""
        if self._process != os.getpid():
            raise ClosedError(
                "engine: expected the process that made it, got a fork of it, where the GPU cannot be used; "
                "start the process anew (multiprocessing's spawn) and make an engine there"
            )
        with self._lock:
            if self._graph is None:
                raise ClosedError("engine: expected an open one, got one that was closed; make a new one")
            with self._device.current():
                yield
