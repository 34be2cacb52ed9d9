"""Ways in which a flat line of text is bent, each with its exact inverse.

Convention: lengths in text heights; the flat text fills [-length / 2, length / 2] x [-1/2, 1/2], y down.
``bend`` maps flat points to bent points, ``unbend`` maps back; both take and return (..., 2).
Points that no flat point reaches come back as NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stn_deploy.geometry.convention import FloatArray


class Bend(Protocol):
    """A bending of the flat text with its inverse."""

    def bend(self, flat: FloatArray) -> FloatArray:
        """Bent positions of flat points."""

    def unbend(self, bent: FloatArray) -> FloatArray:
        """Flat positions of bent points."""


def _xy(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.stack([x, y], axis=-1)


@dataclass(frozen=True, kw_only=True)
class Straight:
    """No bending."""

    def bend(self, flat: FloatArray) -> FloatArray:
        """The points themselves."""
        return flat

    def unbend(self, bent: FloatArray) -> FloatArray:
        """The points themselves."""
        return bent


@dataclass(frozen=True, kw_only=True)
class Arc:
    """Text on a circle.

    angle: opening of the midline, radians; positive bulges upwards, negative downwards; not zero.
    length: of the midline; it must exceed half the angle, or the inner edge passes the centre.
    """

    angle: float
    length: float

    def bend(self, flat: FloatArray) -> FloatArray:
        """Flat x becomes the angle, flat y the distance from the centre."""
        radius, sign = self.length / abs(self.angle), np.sign(self.angle)
        turn = flat[..., 0] / radius
        distance = radius - sign * flat[..., 1]
        return _xy(distance * np.sin(turn), sign * (radius - distance * np.cos(turn)))

    def unbend(self, bent: FloatArray) -> FloatArray:
        """Polar coordinates around the centre of the circle."""
        radius, sign = self.length / abs(self.angle), np.sign(self.angle)
        up = radius - sign * bent[..., 1]
        return _xy(np.arctan2(bent[..., 0], up) * radius, sign * (radius - np.hypot(bent[..., 0], up)))


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Letters moved up and down along a sine, as on a flag.

    amplitude: text heights. wavelength: text heights. phase: radians.
    """

    amplitude: float
    wavelength: float
    phase: float

    def _shift(self, x: FloatArray) -> FloatArray:
        return np.asarray(self.amplitude * np.sin(2 * np.pi * x / self.wavelength + self.phase))

    def bend(self, flat: FloatArray) -> FloatArray:
        """Shift down by the sine."""
        return _xy(flat[..., 0], flat[..., 1] + self._shift(flat[..., 0]))

    def unbend(self, bent: FloatArray) -> FloatArray:
        """Shift back up."""
        return _xy(bent[..., 0], bent[..., 1] - self._shift(bent[..., 0]))


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A wave that grows from the pole to the free end.

    length: of the text. amplitude: at the free end, text heights. wavelength: text heights. phase: radians.
    pole: -1 at the left end, +1 at the right end.
    """

    length: float
    amplitude: float
    wavelength: float
    phase: float
    pole: float = -1.0

    def _shift(self, x: FloatArray) -> FloatArray:
        grown = np.clip(0.5 - self.pole * x / self.length, 0, 1.5)
        return np.asarray(self.amplitude * grown * np.sin(2 * np.pi * x / self.wavelength + self.phase))

    def bend(self, flat: FloatArray) -> FloatArray:
        """Shift down by the growing sine."""
        return _xy(flat[..., 0], flat[..., 1] + self._shift(flat[..., 0]))

    def unbend(self, bent: FloatArray) -> FloatArray:
        """Shift back up."""
        return _xy(bent[..., 0], bent[..., 1] - self._shift(bent[..., 0]))


@dataclass(frozen=True, kw_only=True)
class Snake:
    """Letters that turn along an S: half an arc to the left of the middle, half its mirror to the right.

    angle: opening of each arc if it were whole, radians in (-pi, pi), not zero; positive bulges upwards on
    the right. length: of the midline; as for an arc.
    """

    angle: float
    length: float

    def _halves(self) -> tuple[Arc, Arc]:
        return Arc(angle=-self.angle, length=self.length), Arc(angle=self.angle, length=self.length)

    def bend(self, flat: FloatArray) -> FloatArray:
        """Each half on its arc; they meet upright in the middle."""
        left, right = self._halves()
        return np.where(flat[..., :1] < 0, left.bend(flat), right.bend(flat))

    def unbend(self, bent: FloatArray) -> FloatArray:
        """Each half by its arc."""
        left, right = self._halves()
        return np.where(bent[..., :1] < 0, left.unbend(bent), right.unbend(bent))


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """Top and bottom edge follow curves: bulge, wedge, arch.

    length: of the text. rise: sag of the midline as a parabola. slope: relative growth of the height from
    the middle to the right end. bulge: relative growth of the height at both ends.
    """

    length: float
    rise: float
    slope: float
    bulge: float

    def _middle_and_height(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        t = np.clip(2 * x / self.length, -1.5, 1.5)
        return self.rise * (t * t - 0.5), np.maximum(1 + self.slope * t + self.bulge * t * t, 0.1)

    def bend(self, flat: FloatArray) -> FloatArray:
        """Stretch each column and move it."""
        middle, height = self._middle_and_height(flat[..., 0])
        return _xy(flat[..., 0], middle + height * flat[..., 1])

    def unbend(self, bent: FloatArray) -> FloatArray:
        """Move each column back and shrink it."""
        middle, height = self._middle_and_height(bent[..., 0])
        return _xy(bent[..., 0], (bent[..., 1] - middle) / height)


@dataclass(frozen=True, kw_only=True)
class Cylinder:
    """Text around an upright cylinder, seen slightly from above or below.

    angle: opening of the text on the cylinder, radians in (0, pi). length: of the text.
    lean: how far the camera looks down (positive) or up, as the sine of its angle.
    """

    angle: float
    length: float
    lean: float

    def bend(self, flat: FloatArray) -> FloatArray:
        """Foreshorten towards the ends; the ends move up or down."""
        radius = self.length / self.angle
        turn = np.clip(flat[..., 0] / radius, -np.pi / 2, np.pi / 2)
        return _xy(radius * np.sin(turn), flat[..., 1] - self.lean * radius * (1 - np.cos(turn)))

    def unbend(self, bent: FloatArray) -> FloatArray:
        """Arc sine, NaN beyond the cylinder's outline."""
        radius = self.length / self.angle
        ratio = bent[..., 0] / radius
        turn = np.arcsin(np.where(np.abs(ratio) < 1, ratio, np.nan))
        return _xy(turn * radius, bent[..., 1] + self.lean * radius * (1 - np.cos(turn)))
