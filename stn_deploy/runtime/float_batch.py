"""Crops as recognisers take them: one normalised float batch of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry import checked_size
from stn_deploy.geometry.convention import Size

Channels: TypeAlias = Literal["RGB", "BGR", "grey"]

_CONVERSION = {"RGB": cv2.COLOR_BGR2RGB, "BGR": None, "grey": cv2.COLOR_BGR2GRAY}


class FloatBatch:
    """Puts crops into float32 batches (n, channels, height, width)."""

    def __init__(self, size: tuple[int, int], mean: ArrayLike, scale: ArrayLike, channel_order: str) -> None:
        """Check the settings; see `stn_deploy.runtime.Rectifier.batch`.

        Raises:
            ArgumentError: one of them out of range; ShapeError: a size that is none.
        """
        if channel_order not in _CONVERSION:
            raise ArgumentError(f'channel_order: expected "RGB", "BGR" or "grey", got {channel_order!r}')
        self.size: Size = checked_size(size)
        self._conversion = _CONVERSION[channel_order]
        self._channels = 1 if channel_order == "grey" else 3
        self._mean = self._of_channels(mean, "mean")
        self._scale = self._of_channels(scale, "scale")

    def of(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The batch of some crops, each (h, w, 3) BGR: the size's height, their aspect, padded on the right.

        What would be wider than the size is made narrower to fit. The padding is 0 after normalising.
        """
        height, width = self.size
        batch = np.zeros((len(crops), self._channels, height, width), np.float32)
        for place, crop in zip(batch, crops, strict=True):
            rows, columns = crop.shape[:2]
            wide = min(max(round(columns * height / rows), 1), width)
            pixels = crop
            if (rows, columns) != (height, wide):
                smaller = rows > height
                pixels = np.asarray(
                    cv2.resize(
                        crop, (wide, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
                    )
                )
            if self._conversion is not None:
                pixels = np.asarray(cv2.cvtColor(pixels, self._conversion))
            planes = pixels.reshape(height, wide, self._channels).transpose(2, 0, 1)
            np.multiply(planes - self._mean, self._scale, out=place[:, :, :wide])
        return batch

    def _of_channels(self, values: ArrayLike, name: str) -> NDArray[np.float32]:
        """(channels, 1, 1) float32 of one number, or one for each channel in the output's order."""
        try:
            numbers: NDArray[Any] = np.asarray(values, np.float32)
        except (TypeError, ValueError):
            numbers = np.array(np.nan)
        fits = numbers.shape in ((), (1,), (self._channels,))
        if not fits or not np.isfinite(numbers).all():
            raise ArgumentError(
                f"{name}: expected a finite number, or {self._channels} of them, got {values!r}"
            )
        return np.broadcast_to(numbers.reshape(-1, 1, 1), (self._channels, 1, 1)).astype(np.float32)
