"""What a transformer did: U with the box or the control points and the sampling grid, beside V."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import normalised_from_pixels, pixels_from_normalised
from stn_deploy.pictures.drawing import (
    BOX,
    POINT,
    Colour,
    Picture,
    draw_box,
    draw_control_points,
    draw_grid,
)
from stn_deploy.pictures.layout import fit, tabulate

_CELL = (256, 420)
_MARGIN, _FRAME = 20, 4
_FARTHEST = 2.0  # normalised: up to there the margin of U grows
_BACKGROUND, _PAPER = (215, 215, 215), (255, 255, 255)
_COLOURS: tuple[Colour, ...] = (
    *(BOX, (235, 190, 70), (120, 220, 80), (200, 110, 230)),
    *((60, 220, 240), (60, 60, 230), (250, 100, 90), (70, 110, 160)),
)
_GOLDEN = 0.618034


@dataclass(frozen=True, kw_only=True, eq=False)
class Transformation:
    """What one transformer did to one image.

    output: V, (c, h, w), in the range of U.
    grid: (h, w, 2), source coordinates of each pixel of V, normalised.
    corners: (4, 2), where the corners of V lie in U, clockwise from V's top left, normalised.
    control_points: (K, 2), source, normalised; None where the transform has none, so that the box is drawn.
    """

    output: NDArray[Any]
    grid: NDArray[Any]
    corners: NDArray[Any]
    control_points: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Refuse other shapes with a ShapeError."""
        _check_shape("output", self.output, ("c", "h", "w"))
        _check_shape("grid", self.grid, ("h", "w", 2))
        _check_shape("corners", self.corners, (4, 2))
        if self.control_points is not None:
            _check_shape("control_points", self.control_points, ("K", 2))


def draw_transformations(
    sources: Sequence[NDArray[Any]],
    transformations: Sequence[Sequence[Transformation]],
    *,
    channel_order: str = "BGR",
) -> Picture:
    """A row for each image: U with what was looked at, then V.

    One transformer shows its grid in U. Of several in parallel, each has a colour, in which U shows its box,
    or its outline and control points, and in which its V is framed. U has a margin for what lies outside.

    Args:
        sources: U of each image, (c, H, W) floating point; see `image_from_channels`.
        transformations: for each image, what each transformer did.
        channel_order: of three channels, BGR or RGB.
    Returns:
        (h, w, 3) uint8, BGR.
    Raises:
        ShapeError: an array of another shape, or rows of different lengths.
        ArgumentError: no image, no transformer, or another channel order.
    """
    if not len(sources) or len(sources) != len(transformations) or not len(transformations[0]):
        raise ArgumentError(
            "sources: expected at least one, each with at least one transformation, "
            f"got {len(sources)} and {[len(row) for row in transformations]}"
        )
    count = len(transformations[0])
    beyond = np.max([_beyond(done) for row in transformations for done in row], axis=0)
    rows = [
        _draw_row(source, row, channel_order, beyond)
        for source, row in zip(sources, transformations, strict=True)
    ]
    return tabulate(rows, ["U", *(["V"] if count == 1 else (f"V {index + 1}" for index in range(count)))])


def image_from_channels(
    channels: ArrayLike, *, like: ArrayLike | None = None, channel_order: str = "BGR"
) -> Picture:
    """A picture of an image or a feature map.

    One channel becomes grey and three are the colours; any other number is shown as its mean. Values within
    [0, 1] become 0 to 255; others are scaled by their least and largest. NaN becomes black.

    Args:
        channels: (c, h, w), any range.
        like: (c, h', w'), whose values set the scale instead, so that U and V can be compared.
        channel_order: of three channels, BGR or RGB.
    Returns:
        (h, w, 3) uint8, BGR.
    Raises:
        ShapeError: another shape, or no pixels.
        ArgumentError: another channel order.
    """
    planes = _planes(channels, channel_order)
    low, high = _span(planes if like is None else _planes(like, channel_order))
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.nan_to_num((planes - low) * (255 / (high - low)), nan=0, posinf=255, neginf=0)
    return np.round(scaled.clip(0, 255)).astype(np.uint8)


def _draw_row(
    source: NDArray[Any],
    transformations: Sequence[Transformation],
    channel_order: str,
    beyond: NDArray[np.float64],
) -> list[Picture]:
    panel = fit(image_from_channels(source, channel_order=channel_order), _CELL, pixels=True)
    size = np.array(panel.shape[1::-1])
    before, after = np.ceil(beyond / 2 * size).astype(int) + _MARGIN
    seen = _bordered(panel, (before[1], after[1], before[0], after[0]), _BACKGROUND)

    def placed(points: NDArray[Any]) -> NDArray[np.float64]:
        """Points of U as points of the picture, which has a margin."""
        pixels = pixels_from_normalised(np.asarray(points, np.float64), tuple(size[::-1])) + before
        return np.asarray(normalised_from_pixels(pixels, seen.shape[:2]), np.float64)

    cells = []
    for index, done in enumerate(transformations):
        colour = _colour(index)
        seen = _draw_source(seen, done, placed, colour, alone=len(transformations) == 1)
        output = image_from_channels(done.output, like=source, channel_order=channel_order)
        framed = _bordered(fit(output, _CELL, pixels=True), (_FRAME,) * 4, colour)
        above = max(0, len(seen) - len(framed)) // 2
        cells.append(_bordered(framed, (above, 0, 0, 0), _PAPER))
    return [seen, *cells]


def _bordered(picture: Picture, edges: tuple[int, ...], colour: Colour) -> Picture:
    """A picture with a border: above, below, left and right."""
    top, bottom, left, right = (int(edge) for edge in edges)
    done = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour)
    return np.asarray(done, np.uint8)


def _beyond(done: Transformation) -> NDArray[np.float64]:
    """How far the drawing goes beyond U: (left, top) and (right, bottom), normalised, bounded."""
    marks = done.corners if done.control_points is None else done.control_points
    points = np.asarray(marks, np.float64).reshape(-1, 2)
    known = np.where(np.isfinite(points), points, 0).clip(-_FARTHEST, _FARTHEST)
    return np.stack([-1 - known.min(axis=0), known.max(axis=0) - 1]).clip(min=0)


def _draw_source(
    picture: Picture,
    done: Transformation,
    placed: Callable[[NDArray[Any]], NDArray[np.float64]],
    colour: Colour,
    *,
    alone: bool,
) -> Picture:
    """U with one transformation drawn on it; ``placed`` brings points of U to those of the picture."""
    grid, corners = placed(done.grid), placed(done.corners)
    if done.control_points is None:
        lined = draw_grid(picture, grid, outline=None) if alone else picture
        return draw_box(lined, corners, colour=colour)
    lined = draw_grid(picture, grid, lines=(8, 12) if alone else (1, 1), outline=colour)
    return draw_control_points(lined, placed(done.control_points), colour=POINT if alone else colour)


def _check_shape(name: str, array: NDArray[Any], wanted: tuple[int | str, ...]) -> None:
    """Refuse a shape; letters stand for any length of at least 1."""
    pairs = zip(array.shape, wanted, strict=False)
    fits = all(length == asked if isinstance(asked, int) else length for length, asked in pairs)
    if array.ndim != len(wanted) or not fits:
        raise ShapeError(f"{name}: expected ({', '.join(map(str, wanted))}), got {array.shape}")


def _planes(channels: ArrayLike, channel_order: str) -> NDArray[np.float64]:
    """(h, w, 3) of (c, h, w)."""
    array = np.asarray(channels, np.float64)
    if array.ndim != 3 or not array.size:
        raise ShapeError(f"channels: expected (c, h, w) of at least one pixel, got {array.shape}")
    if channel_order not in ("BGR", "RGB"):
        raise ArgumentError(f"channel_order: expected BGR or RGB, got {channel_order!r}")
    if len(array) != 3:
        with np.errstate(invalid="ignore", over="ignore"):
            return np.repeat(array.mean(axis=0)[..., None], 3, axis=2)
    return np.moveaxis(array if channel_order == "BGR" else array[::-1], 0, 2)


def _span(planes: NDArray[np.float64]) -> tuple[float, float]:
    """The values that become black and white."""
    finite = planes[np.isfinite(planes)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low == high:
        return low - max(1, abs(low)), high + max(1, abs(high))
    return low, high


def _colour(index: int) -> Colour:
    """A colour of its own for each transformer."""
    if index < len(_COLOURS):
        return _COLOURS[index]
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.7, 0.6)
    return round(255 * blue), round(255 * green), round(255 * red)
