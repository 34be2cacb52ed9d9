"""How far one path through an exported file is from torch, and how far it may be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stn_deploy.export.precision import LARGEST_ERROR

THETA_TOLERANCE = 1e-4
"""Normalised units: a hundredth of a pixel on an image of 200 pixels."""
SCORE_TOLERANCE = 1e-3
PIXEL_TOLERANCE = 1.0
"""Of 255. Half of it is the rounding of the split path to whole numbers; where the padding is grey, 127.5,
the other half is that of the padding."""
_NOISE = 0.01
"""Of 255: what float32 adds where both halves are spent."""
HEIGHTS_TOLERANCE = {name: 3 * bound for name, bound in LARGEST_ERROR.items()}
"""Text heights, of 99 of 100 control points of a batch, in lower precision. More than what an export may cost
on many crops: a batch can be a single one, and rendered words bend more than real ones (INT8: 0.14)."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Largest differences of one path from torch on one batch.

    path: what was compared. batch: images. canvas: height and width, pixels.
    theta: normalised units; None where the theta was given, a hostile one, and the sampling alone compared.
    theta_pixels, theta_heights: the same in pixels of the source, and in heights of the text, of 99 of 100
        control points.
    score: absolute; None with a theta that was given.
    pixels: of 255. In float32 from end to end; in lower precision, where theta moves on purpose, of what is
        sampled at the path's own theta.
    precision: of the file. largest_heights: what ``theta_heights`` may be in lower precision, instead of
        `HEIGHTS_TOLERANCE`.
    """

    path: str
    batch: int
    canvas: tuple[int, int]
    theta: float | None = None
    theta_pixels: float | None = None
    theta_heights: float | None = None
    score: float | None = None
    pixels: float
    precision: str = "float32"
    largest_heights: float | None = None

    @property
    def passed(self) -> bool:
        """Within the tolerances; a NaN is not."""
        return self._theta_passed() and self.pixels <= PIXEL_TOLERANCE + _NOISE

    @property
    def tolerance(self) -> str:
        """What was allowed, in words."""
        pixels = f"{PIXEL_TOLERANCE:g} of 255"
        if self.precision == "float32":
            return f"theta {THETA_TOLERANCE:g}, score {SCORE_TOLERANCE:g}, {pixels}"
        heights = self._most_heights()
        return f"99 % of theta {heights:g} text heights, {pixels}" if math.isfinite(heights) else pixels

    def _most_heights(self) -> float:
        return HEIGHTS_TOLERANCE[self.precision] if self.largest_heights is None else self.largest_heights

    def _theta_passed(self) -> bool:
        if self.theta is None or self.score is None:
            return True
        if self.precision == "float32":
            return self.theta <= THETA_TOLERANCE and self.score <= SCORE_TOLERANCE
        heights = math.nan if self.theta_heights is None else self.theta_heights
        return all(map(math.isfinite, (self.theta, self.score, heights))) and heights <= self._most_heights()


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a path gives for a batch: rectified (n, h, w, 3) in [0, 255], theta (n, K, 2), score (n,)."""

    rectified: NDArray[np.float32]
    theta: NDArray[np.float32]
    score: NDArray[np.float32]


def largest(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The largest difference; NaN where one of the two is not a number."""
    return float(np.abs(first - second).max())
