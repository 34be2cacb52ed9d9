"""One training picture: a flat text, a warp and a background become a photograph-like crop with its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stn_deploy.geometry.convention import FloatArray
from stn_deploy.training.backgrounds import Style, random_style
from stn_deploy.training.degrade import degrade
from stn_deploy.training.flat import FlatText
from stn_deploy.training.warp import Warp

_remap: Any = cv2.remap  # its type stubs refuse the None that one map of two channels needs

LARGEST = 60_000
"""Most pixels of a rendered crop; longer texts are drawn smaller."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A crop and its truth.

    image: (h, w, 3) uint8 BGR. points: (K, 2) control points of the text, pixels. word: what it says.
    """

    image: NDArray[np.uint8]
    points: FloatArray
    word: str


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the scene of a warp lies in a crop: ``pixels = (scene - origin) * scale``.

    size: height and width of the crop, pixels. scale: pixels per text height. origin: (2,) scene position of
    the crop's top left corner.
    """

    size: tuple[int, int]
    scale: float
    origin: FloatArray


def place(warp: Warp, *, text_height: float, margins: FloatArray) -> Placement:
    """Crop around the warped text.

    Args:
        text_height: mean height of the text in the crop, pixels.
        margins: left, top, right, bottom around the text's outline, text heights; negative cuts into it.
    """
    outline = warp.control_points(40)
    height = np.linalg.norm(outline[:20] - outline[20:], axis=1).mean()
    lower = outline.min(axis=0) - margins[:2] * height
    upper = outline.max(axis=0) + margins[2:] * height
    extent = np.maximum(upper - lower, 0.2 * height)
    scale = min(text_height / height, float(np.sqrt(LARGEST / extent.prod())))
    width, rows = np.maximum(np.ceil(extent * scale), 4).astype(int)
    return Placement(size=(int(rows), int(width)), scale=float(scale), origin=lower)


def compose(flat: FlatText, warp: Warp, placement: Placement, style: Style, *, count: int) -> Scene:
    """Draw the warped text onto its background.

    Args:
        count: K, number of control points in the result.
    """
    height, width = placement.size
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    scene = np.stack([xs + 0.5, ys + 0.5], axis=-1) / np.float32(placement.scale)
    scene += placement.origin.astype(np.float32)
    left, top, right, bottom = flat.box
    per_height = bottom - top
    centre = np.array([left + right, top + bottom]) / 2
    ink, texture, shrink = _at_scale(flat, placement.scale / per_height)
    maps = warp.flat_from_scene(scene) * (per_height * shrink) + (centre * shrink - 0.5)
    maps = np.nan_to_num(maps, nan=-1e4).astype(np.float32)
    alpha = _remap(ink, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    drawn = None
    if texture is not None:
        drawn = _remap(texture, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.blur(alpha, (3, 3))
    points = (warp.control_points(count) - placement.origin) * placement.scale
    image = style.paint(np.asarray(alpha, np.uint8), drawn)
    return Scene(image=image, points=points, word=flat.word)


def _at_scale(flat: FlatText, scale: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, FloatArray]:
    """The flat picture shrunk towards the resolution it is shown at, against aliasing; factors (x, y)."""
    height, width = flat.ink.shape
    if scale > 0.8:
        return flat.ink, flat.texture, np.ones(2)
    size = (max(2, round(width * scale * 1.1)), max(2, round(height * scale * 1.1)))
    ink = np.asarray(cv2.resize(flat.ink, size, interpolation=cv2.INTER_AREA), np.uint8)
    texture = None
    if flat.texture is not None:
        texture = np.asarray(cv2.resize(flat.texture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return ink, texture, np.array([size[0] / width, size[1] / height])


def random_margins(rng: Generator, *, crowded: bool = False) -> FloatArray:
    """Margins (left, top, right, bottom) as crops have them: none at all, tight, loose, cutting in, lopsided.

    Most crops of words are the upright rectangle around an annotated or detected outline, which therefore
    touches all four borders.

    Args:
        crowded: other words stand around; more often, the crop shows a part of a line above or below.
    """
    kind = rng.random()
    if kind < 0.4:
        return rng.uniform(0.0, 0.04, 4)
    if kind < 0.62:
        margins = rng.uniform(-0.08, 0.15, 4)
    elif kind < 0.95:
        margins = rng.uniform(-0.05, 0.6, 4)
    else:
        margins = rng.uniform(0.3, 1.2, 4)
    if rng.random() < 0.15:
        margins[rng.integers(4)] = rng.uniform(-0.1, 0.02)
    if crowded and rng.random() < 0.35:
        margins[rng.choice([1, 3])] = rng.uniform(0.4, 1.0)
    return np.asarray(margins, np.float64)


def random_scene(
    rng: Generator, flat: FlatText, warp: Warp, *, count: int, text_height: float | None = None
) -> Scene:
    """A crop with random margins, style and camera.

    Args:
        count: K, number of control points in the result.
        text_height: mean height of the text in the crop, pixels; random where not given.
    """
    _, top, _, bottom = flat.box
    crowded = top > 0.5 * (bottom - top)
    placement = place(
        warp,
        text_height=random_text_height(rng) if text_height is None else text_height,
        margins=random_margins(rng, crowded=crowded),
    )
    style = random_style(rng)
    if flat.texture is not None and rng.random() < 0.7:  # as if the photograph went on
        edge = np.concatenate([flat.texture[0], flat.texture[-1], flat.texture[:, 0], flat.texture[:, -1]])
        style = replace(style, paper=edge.mean(axis=0), grain=style.grain * 0.5)
    scene = compose(flat, warp, placement, style, count=count)
    return Scene(image=degrade(rng, scene.image), points=scene.points, word=scene.word)


def random_text_height(rng: Generator) -> float:
    """Pixels, 8 to 80, small ones as often as large ones."""
    return float(np.exp(rng.uniform(np.log(8), np.log(80))))
