"""Which batches and canvases a file or an engine takes, and batches that it does take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import onnx

from stn_deploy.artifact import Profile
from stn_deploy.export.compared_paths import Batch, Image

_LARGEST = 1 << 15
_MOST = 64
"""Images of a batch that are compared where more would go."""
_LONGEST = 2048
"""Sides of the canvas, pixels, likewise."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Smallest and largest batch, images, and canvas, (height, width) in pixels."""

    batch: tuple[int, int] = (1, _LARGEST)
    smallest: tuple[int, int] = (1, 1)
    largest: tuple[int, int] = (_LARGEST, _LARGEST)

    @classmethod
    def of_model(cls, model: bytes) -> Limits:
        """Those of an exported file: any, but where its input is frozen."""
        shapes = {
            value.name: value.type.tensor_type.shape.dim for value in onnx.load_from_string(model).graph.input
        }
        fixed = [dim.dim_value if dim.HasField("dim_value") else None for dim in shapes["images"][:3]]
        low, high = ([value or other for value in fixed] for other in (1, _LARGEST))
        return cls(batch=(low[0], high[0]), smallest=(low[1], low[2]), largest=(high[1], high[2]))

    @classmethod
    def of_engine(cls, profile: Profile) -> Limits:
        """Those of a built engine."""
        return cls(
            batch=(profile.batch[0], profile.batch[-1]),
            smallest=profile.canvas[0],
            largest=profile.canvas[-1],
        )


def batches(crops: Sequence[Image], limits: Limits) -> list[Batch]:
    """One image without padding, one padded, and ragged batches, exact and padded, within the limits.

    Crops are repeated to fill a batch and cut to fit a canvas.
    """
    wanted = [(crops[:1], (0, 0)), (crops[1:2] or crops[:1], (13, 40)), (crops[:7], (0, 0)), (crops, (5, 27))]
    return [_fitted(chosen, padding, limits) for chosen, padding in wanted]


def _fitted(crops: Sequence[Image], padding: tuple[int, int], limits: Limits) -> Batch:
    smallest, largest = limits.batch
    count = max(smallest, min(len(crops), largest, _MOST))
    height, width = (
        max(low, min(high, _LONGEST)) for low, high in zip(limits.smallest, limits.largest, strict=True)
    )
    chosen = [crop[:height, :width] for crop in islice(cycle(crops), count)]
    needed = (max(crop.shape[axis] for crop in chosen) for axis in (0, 1))
    canvas = [
        min(max(side + more, low), high)
        for side, more, low, high in zip(needed, padding, limits.smallest, (height, width), strict=True)
    ]
    return Batch.packed(chosen, (canvas[0], canvas[1]))
