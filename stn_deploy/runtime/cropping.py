"""From control points to crops: how large each becomes, and the pixels in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec
from stn_deploy.errors import ArgumentError, ImageError
from stn_deploy.geometry import TextSpline, checked_size, text_line_extents
from stn_deploy.geometry.convention import Size
from stn_deploy.runtime.sampling import reductions, sample_originals

Image = NDArray[np.uint8]

DEFAULT_HEIGHT = 48
_WIDTHS = 12
"""Natural widths are whole twelfths of the height: as good to the eye, and a twelfth of the grids to make."""
LARGEST_ASPECT = 64
"""No crop is made wider than this many times its height."""
LONGEST_SIDE = 32_766
"""OpenCV samples from no larger image."""


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def too_long(name: str, height: int, width: int) -> ImageError:
    """What is wrong with an image of so many pixels that OpenCV does not sample from it."""
    return ImageError(
        f"{name}: expected sides of at most {LONGEST_SIDE} pixels, got {height} x {width}; cut it into parts"
    )


def checked_output(height: int | None, size: tuple[int, int] | None) -> tuple[int, Size | None]:
    """Height of crops of natural width, and the size of all of them where that is fixed.

    Raises:
        ArgumentError: one of them out of range, or both were given.
    """
    if size is not None and height is not None:
        raise ArgumentError(
            f"size: expected either a height or a size, got height {height!r} and size {size!r}; "
            "a size fixes the height, too"
        )
    height = DEFAULT_HEIGHT if height is None else height
    if not is_whole(height) or not 4 <= height <= 4096:
        raise ArgumentError(f"height: expected 4 to 4096 pixels, got {height!r}")
    fixed = None if size is None else checked_size(size)
    if fixed is not None and max(fixed) > LONGEST_SIDE:
        raise ArgumentError(f"size: expected sides of at most {LONGEST_SIDE} pixels, got {fixed}")
    return int(height), fixed


class Cropper:
    """Makes the straightened crops of one rectifier."""

    def __init__(self, spec: RectifierSpec, height: int, size: Size | None) -> None:
        """Make one; see `checked_output` for what it makes."""
        self.spline = TextSpline.of(spec)
        self.size = size
        self._spec = spec
        self._height = height

    def crops(
        self,
        images: Sequence[Image],
        theta: NDArray[np.float32],
        points: NDArray[np.floating[Any]],
        *,
        ready: Mapping[int, NDArray[np.float32]] = MappingProxyType({}),
    ) -> list[Image]:
        """Straightened crops.

        Args:
            images: n of (H, W, 3), no side longer than `LONGEST_SIDE`.
            theta: (n, K, 2) control points, normalised over the images. points: the same in pixels.
            ready: what the whole graph sampled of some of them, (3, h, w), scaled as the spec says. It is
                used where one sample for each pixel is enough.
        """
        if not len(images):
            return []
        height, length = text_line_extents(points)
        # Control points inside the edges of the output measure a part of it.
        part = 1 - self._spec.control_inset
        heights, lengths = height / part, length / part
        if self.size is None:
            sizes = self._natural_sizes(heights, lengths)
        else:
            sizes = [self.size] * len(images)
        factors = reductions(heights, sizes[0][0])
        taken = {place for place in ready if factors[place] == 1}
        rest = [place for place in range(len(images)) if place not in taken] if taken else range(len(images))
        sampled = sample_originals(
            [images[place] for place in rest],
            theta[rest] if taken else theta,
            [sizes[place] for place in rest],
            spline=self.spline,
            reduction=[factors[place] for place in rest],
            exact=self.size is not None,
            fill=self._spec.fill,
        )
        if not taken:
            return sampled
        crops = dict(zip(rest, sampled, strict=True))
        return [
            crops[place] if place in crops else self._pixels(ready[place]) for place in range(len(images))
        ]

    def _pixels(self, sampled: NDArray[np.float32]) -> Image:
        """uint8 BGR of an output of the whole graph."""
        values = np.rint(sampled.transpose(1, 2, 0) * self._spec.std + self._spec.mean)
        if self._spec.channel_order == "RGB":
            values = values[..., ::-1]
        return np.ascontiguousarray(np.clip(values, 0, 255), np.uint8)

    def _natural_sizes(
        self, text_heights: NDArray[np.floating[Any]], text_lengths: NDArray[np.floating[Any]]
    ) -> list[Size]:
        """The chosen height, and the widths at which the arc length of the midline keeps its proportion."""
        aspects = np.minimum(text_lengths / np.maximum(text_heights, 1e-3), LARGEST_ASPECT)
        step = max(self._height // _WIDTHS, 1)
        widths = np.rint(self._height * aspects.astype(np.float64) / step) * step
        widths = np.clip(widths, 4, LONGEST_SIDE)
        return [(self._height, int(width)) for width in widths.tolist()]
