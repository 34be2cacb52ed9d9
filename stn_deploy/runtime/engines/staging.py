"""Where a batch lies: pinned memory that images are packed into, its twin on the GPU, the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.runtime.canvas import pack_into
from stn_deploy.runtime.engines.buckets import Batch, Buckets
from stn_deploy.runtime.engines.device import Device

Outputs = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
"""For each output the shape of one image's part, and the type."""

_ALIGNMENT = 256
"""Bytes; what cudaMalloc gives, and vector loads want."""


def aligned(size: int) -> int:
    """A size in bytes, and what is missing to the next address that an array may begin at."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def shrunk(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """An image over a whole number in both directions, by area; sides stay at least 2 pixels."""
    height, width = (max(-(-side // factor), min(side, 2)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


class Layout(NamedTuple):
    """Where the outputs of a batch of some size begin in a block, bytes, and where the block ends."""

    starts: Mapping[str, int]
    end: int
    before_rectified: int

    @classmethod
    def of(cls, outputs: Outputs, size: int) -> Layout:
        """The small outputs first, so that they can be had without the pixels."""
        starts, end = {}, 0
        for name in sorted(outputs, key=lambda each: each == "rectified"):
            row, kind = outputs[name]
            starts[name] = end
            end = aligned(end + size * int(np.prod(row, dtype=np.int64)) * kind.itemsize)
        return cls(starts, end, starts["rectified"])


class Slot:
    """Buffers of one batch at a time, for batches of every size that occurs.

    uploaded, computed, done: events; ``done`` when the slot may be filled anew.
    """

    def __init__(self, device: Device, buckets: Buckets, outputs: Outputs) -> None:
        """Take memory on the host and on the GPU; `Device.close` gives it back."""
        self._outputs = outputs
        self._layouts: dict[int, Layout] = {}
        largest = buckets.batch[1]
        self._header = aligned(largest * 2 * 4)  # the extents
        room, results = self._header + buckets.room, Layout.of(outputs, largest).end
        self._input, self._output = device.pinned(room), device.pinned(results)
        self._input_address, self._output_address = device.memory(room), device.memory(results)
        self.uploaded, self.computed, self.done = (device.event() for _ in range(3))
        self._device = device

    def fill(self, batch: Batch, images: Sequence[NDArray[np.uint8]], stream: int) -> None:
        """Pack a batch and queue its copy to the GPU; the batch of before is done."""
        height, width = batch.canvas
        pixels = batch.size * height * width * 3
        canvases = self._input[self._header : self._header + pixels].reshape(batch.size, height, width, 3)
        extents = self._input[: batch.size * 8].view(np.float32).reshape(batch.size, 2)
        pack_into(canvases, extents, images)
        self._device.upload(self._input_address, self._input[: self._header + pixels], stream)

    def addresses(self, size: int) -> dict[str, int]:
        """Where inputs and outputs of a batch of some size lie on the GPU."""
        starts = self._layout(size).starts
        found = {name: self._output_address + start for name, start in starts.items()}
        return {"images": self._input_address + self._header, "extents": self._input_address, **found}

    def fetch(self, size: int, stream: int, *, rectified: bool) -> None:
        """Queue the copy of the results to the host."""
        layout = self._layout(size)
        end = layout.end if rectified else layout.before_rectified
        self._device.download(self._output[:end], self._output_address, stream)

    def results(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """Results that were fetched, of the real images; they lie in the slot's own memory."""
        found = {}
        for name, start in self._layout(batch.size).starts.items():
            row, kind = self._outputs[name]
            shape = (len(batch.places), *row)
            size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
            found[name] = self._output[start : start + size].view(kind).reshape(shape)
        return found

    def _layout(self, size: int) -> Layout:
        if size not in self._layouts:
            self._layouts[size] = Layout.of(self._outputs, size)
        return self._layouts[size]
