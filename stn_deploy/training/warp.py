"""A complete distortion of a flat text: a bend, then a projective view of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry import control_point_targets
from stn_deploy.geometry.convention import FloatArray
from stn_deploy.training.bends import Arc, Bend, Cylinder, Envelope, Flag, Snake, Straight, Wave


@dataclass(frozen=True, kw_only=True)
class Warp:
    """A bend followed by a homography, invertible in closed form.

    Convention: flat points as in `stn_deploy.training.bends`, lengths in text heights.
    length: of the flat text. scene_from_bent: (3, 3) homography.
    """

    length: float
    bend: Bend = field(default_factory=Straight)
    scene_from_bent: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    def __post_init__(self) -> None:
        if not self.length > 0:
            raise ArgumentError(f"length: expected text heights above 0, got {self.length}")

    def scene_from_flat(self, flat: FloatArray) -> FloatArray:
        """Scene positions (..., 2) of flat points (..., 2)."""
        return _project(self.scene_from_bent, self.bend.bend(flat))

    def flat_from_scene(self, scene: FloatArray) -> FloatArray:
        """Flat positions (..., 2) of scene points (..., 2); NaN where nothing maps there."""
        return self.bend.unbend(_project(np.linalg.inv(self.scene_from_bent), scene))

    def control_points(self, count: int) -> FloatArray:
        """True scene positions (count, 2) of the control points of the text."""
        return self.scene_from_flat(control_point_targets(count) * [self.length / 2, 0.5])


def _project(matrix: FloatArray, points: FloatArray) -> FloatArray:
    mapped = points @ matrix[:, :2].T.astype(points.dtype) + matrix[:, 2].astype(points.dtype)
    depth = mapped[..., 2:]
    return np.asarray(mapped[..., :2] / np.where(depth > 1e-6, depth, np.nan))


def between_pixel_centres(matrix: FloatArray) -> NDArray[np.float64]:
    """The homography (3, 3) that OpenCV's warps want for one in our pixel coordinates.

    OpenCV counts pixel centres, we count edges: half a pixel apart on both sides.
    """
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    return np.asarray(np.linalg.inv(half) @ matrix @ half, np.float64)


def rotation(angle: float) -> NDArray[np.float64]:
    """Homography (3, 3) that turns clockwise on the screen (y down) by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def perspective(along: float, across: float, half_extent: FloatArray) -> NDArray[np.float64]:
    """Homography (3, 3) that shrinks what lies right (and below), by its depth.

    Args:
        along: in (-1, 1); the depth changes by this part from the middle to the right border.
        across: the same from the middle to the lower border; |along| + |across| < 1.
        half_extent: (2,), distance of the right and lower border from the middle.
    """
    matrix = np.eye(3)
    matrix[2, :2] = np.array([along, across]) / half_extent
    return matrix


def squeeze(factor: float, slant: float = 0.0) -> NDArray[np.float64]:
    """Homography (3, 3): widths times ``factor``, and a slant in widths per height."""
    return np.array([[factor, slant, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def random_bend(rng: Generator, length: float) -> Bend:
    """A bend from the training distribution for a text of this length."""
    kind = rng.choice(
        ["arc", "wave", "flag", "snake", "envelope", "cylinder"], p=[0.41, 0.25, 0.07, 0.06, 0.11, 0.1]
    )
    sign = float(rng.choice([-1.0, 1.0]))
    widest = length / 0.75  # beyond, the inner edge of an arc nears its centre
    if kind == "arc":
        largest = min(np.radians(200), widest)
        return Arc(angle=sign * rng.uniform(min(np.radians(8), largest / 2), largest), length=length)
    if kind == "snake":
        largest = min(np.radians(130), widest)
        return Snake(angle=sign * rng.uniform(min(np.radians(20), largest / 2), largest), length=length)
    if kind in {"wave", "flag"}:
        wavelength = length * rng.uniform(0.7, 2.0)
        phase = rng.uniform(0, 2 * np.pi)
        steepest = 0.16 * wavelength  # a slope of 45 degrees
        if kind == "wave":
            amplitude = min(rng.uniform(0.05, 0.55), steepest)
            return Wave(amplitude=amplitude, wavelength=wavelength, phase=phase)
        amplitude = min(rng.uniform(0.2, 0.7), steepest)
        return Flag(length=length, amplitude=amplitude, wavelength=wavelength, phase=phase, pole=sign)
    if kind == "envelope":
        return Envelope(
            length=length,
            rise=sign * rng.uniform(0, 0.25) * min(length, 4.0),
            slope=rng.uniform(-0.4, 0.4),
            bulge=rng.uniform(-0.4, 0.6),
        )
    return Cylinder(angle=np.radians(rng.uniform(40, 150)), length=length, lean=sign * rng.uniform(0, 0.5))


def random_warp(rng: Generator, length: float) -> Warp:
    """A distortion from the training distribution: a good third straight, the others bent, turned, tilted.

    Short words are mostly straight: turned or tilted, they could as well be others.
    """
    matrix = squeeze(float(np.exp(rng.uniform(np.log(0.4), np.log(1.8)))), rng.normal(0, 0.08))
    kind = rng.random()
    straight = 0.34 if length > 1.8 else 0.6 if length > 1.2 else 0.8
    if kind < straight:
        matrix = rotation(np.radians(rng.normal(0, 2.0))) @ matrix
        return Warp(length=length, scene_from_bent=matrix)
    bend = random_bend(rng, length) if kind > straight + 0.36 * (1 - straight) else Straight()
    if isinstance(bend, (Arc, Snake)) and abs(bend.angle) > np.radians(60):
        # A squeezed circle is an ellipse; mild squeezes only, as cameras see them.
        matrix = squeeze(float(rng.uniform(0.75, 1.3)), matrix[0, 1])
    if isinstance(bend, Straight) or rng.random() < 0.65:
        along, across, angle = _random_view(rng, length, isinstance(bend, Straight))
        outline = Warp(length=length, bend=bend, scene_from_bent=matrix).control_points(40)
        matrix = rotation(angle) @ perspective(along, across, np.abs(outline).max(axis=0)) @ matrix
    return Warp(length=length, bend=bend, scene_from_bent=matrix)


def _random_view(rng: Generator, length: float, unbent: bool) -> tuple[float, float, float]:
    """Perspective along and across the text, and a rotation in radians."""
    deepest = 0.65 * float(np.clip(length / 2.2, 0.3, 1))
    evenly = rng.random() < (0.5 if unbent else 0.45)
    along = rng.uniform(-deepest, deepest) if evenly else rng.normal(0, 0.15)
    along, across = np.clip([along, rng.normal(0, 0.08)], [-deepest, -0.2], [deepest, 0.2])
    widest = (60.0 if unbent else 45.0) * float(np.clip(length / 2, 0.3, 1))
    kind = rng.random()
    if kind < 0.5:
        angle = rng.uniform(-widest, widest)
    elif kind < 0.66 and unbent and length > 2.5:
        angle = rng.choice([-1, 1]) * rng.uniform(60, 85)  # nearly upright, still read from left to right
    else:
        angle = np.clip(rng.normal(0, 10.0), -widest, widest)
    return float(along), float(across), float(np.radians(angle))
