"""A rectifier behind a batcher."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stn_deploy.runtime.batching.batcher import Batcher
from stn_deploy.runtime.batching.limits import BatchLimits
from stn_deploy.runtime.rectifier import Rectifier
from stn_deploy.runtime.result import Rectified


def batching_rectifier(
    rectifier: Rectifier | None = None, limits: BatchLimits | None = None, *, workers: int = 1
) -> Batcher[NDArray[np.uint8], Rectified]:
    """A rectifier for services: each thread submits its image, the network sees batches.

    An image that cannot be used fails its own future with what ``rectifier(image)`` raises; the others of its
    batch are straightened.

    Args:
        rectifier: the one that ships with the package by default.
        limits: see `BatchLimits`.
        workers: batches that are computed at the same time.
    Returns:
        a batcher of images, as `Rectifier` takes them, to be closed or used in a ``with`` block.
    Raises:
        ArgumentError: workers or limits out of range.
    """
    straighten = Rectifier() if rectifier is None else rectifier
    return Batcher(lambda images: straighten(images), limits, workers=workers, name="rectifier")
