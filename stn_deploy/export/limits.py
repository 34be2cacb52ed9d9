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
    every = range(len(crops))
    wanted = [(every[:1], (0, 0)), (every[1:2] or every[:1], (13, 40)), (every[:7], (0, 0)), (every, (5, 27))]
    # Narrow limits make some of them the same.
    fitted = dict.fromkeys(_fitted(crops, chosen, padding, limits) for chosen, padding in wanted)
    return [Batch.packed([crops[index][:h, :w] for index in chosen], (h, w)) for chosen, (h, w) in fitted]


def _fitted(
    crops: Sequence[Image], wanted: Sequence[int], padding: tuple[int, int], limits: Limits
) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Which crops make a batch, and on which canvas."""
    smallest, largest = limits.batch
    chosen = tuple(islice(cycle(wanted), max(smallest, min(len(wanted), largest, _MOST))))
    height, width = (
        max(low, min(max(crops[index].shape[axis] for index in chosen) + more, high, _LONGEST))
        for axis, (low, high, more) in enumerate(zip(limits.smallest, limits.largest, padding, strict=True))
    )
    return chosen, (height, width)
