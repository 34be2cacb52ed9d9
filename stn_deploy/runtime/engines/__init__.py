"""Engines that run the localisation network or the whole exported graph. They meet at two small protocols."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatBatch = NDArray[np.float32]


class Localisation(NamedTuple):
    """theta: (n, K, 2) float32, normalised. score: (n,) float32 in [0, 1]."""

    theta: FloatBatch
    score: FloatBatch


class Localiser(Protocol):
    """Runs the localisation part: what the split path needs."""

    def localise(self, thumbnails: FloatBatch, sizes: FloatBatch) -> Localisation:
        """Find theta and score.

        Args:
            thumbnails: (n, 3, h, w), BGR in [0, 255].
            sizes: (n, 2), height and width of the images, pixels.
        """


class FullGraph(Protocol):
    """Runs the whole exported graph on a padded canvas."""

    def run(self, images: NDArray[np.uint8], extents: FloatBatch) -> tuple[FloatBatch, Localisation]:
        """Straighten a batch: rectified (n, 3, h, w), scaled as the spec says, and the localisation.

        Args:
            images: (n, H, W, 3), BGR; see `stn_deploy.runtime.canvas.pack_canvas`.
            extents: (n, 2), valid fraction (height, width).
        """


__all__ = ["FloatBatch", "FullGraph", "Localisation", "Localiser"]
