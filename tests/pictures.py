"""Pictures and control points that many tests share."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def noise(height: int, width: int, *, seed: int = 0) -> Image:
    """Independent pixels (height, width, 3): every shift and every swap shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def smooth(height: int, width: int, *, seed: int = 0) -> Image:
    """A picture of large soft blotches, which small errors of position change little."""
    coarse = np.random.default_rng(seed).uniform(40, 215, (5, 9, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.rint(picture).astype(np.uint8)


def arc_points(
    count: int, *, radius: float, angle: float, height: float, centre: tuple[float, float]
) -> NDArray[np.float64]:
    """Control points (count, 2) of a line on a circle, bulging upwards; pixels, y down.

    radius and angle (radians) are those of the midline, height that of the text.
    """
    turn = np.linspace(-angle / 2, angle / 2, count // 2)
    outwards = np.stack([np.sin(turn), -np.cos(turn)], axis=1)
    return np.concatenate([outwards * (radius + height / 2), outwards * (radius - height / 2)]) + centre


def box_points(
    count: int, *, width: float, height: float, centre: tuple[float, float], tilt: float = 0.0
) -> NDArray[np.float64]:
    """Control points (count, 2) of a straight line, turned clockwise on the screen by ``tilt`` radians."""
    xs = np.linspace(-width / 2, width / 2, count // 2)
    flat = np.concatenate([np.stack([xs, np.full_like(xs, y)], axis=1) for y in (-height / 2, height / 2)])
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    return np.asarray(flat @ turn + centre)
