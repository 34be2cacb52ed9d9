"""What the kernels should answer: the paper's equations in NumPy, for whole batches at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stn_deploy.geometry.sampling import FAR
from tests.kernels import Way


@dataclass(frozen=True)
class Expected:
    """What the paper says of some positions, in float64.

    points: (n, P, axes), x first. valid: (n, axes), in the order of the canvas.
    """

    way: Way
    source: np.ndarray
    points: np.ndarray
    valid: np.ndarray

    @property
    def sampled(self) -> np.ndarray:
        """V (n, c, P). Source: Jaderberg et al. 2015, equation 3."""
        return sum(
            (np.where(weight[:, None] != 0, weight[:, None] * read, 0) for weight, read in self._terms(None)),
            np.zeros((*self.source.shape[:2], self.points.shape[1])),
        )

    def gradients(self, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For U, and for the positions. Source: equations 6 and 7."""
        for_source = np.zeros(self.source.shape)
        flat = for_source.reshape(*self.source.shape[:2], -1)
        for places, weight in self._places(None):
            for image, channel in np.ndindex(*flat.shape[:2]):
                np.add.at(flat[image, channel], places[image], change[image, channel] * weight[image])
        for_points = np.zeros(self.points.shape)
        for axis in range(self.way.axes):
            for weight, read in self._terms(axis):
                for_points[..., axis] += (change * weight[:, None] * read).sum(axis=1)
        return for_source, np.where(np.abs(self.points) <= FAR, for_points, 0)

    def _terms(self, sloped: int | None) -> Any:
        flat = self.source.reshape(*self.source.shape[:2], -1)
        for places, weight in self._places(sloped):
            yield weight, np.take_along_axis(flat, places[:, None], axis=2)

    def _places(self, sloped: int | None) -> Any:
        """For each tap: its pixel's number in the canvas, and its weight, 0 where nothing is read."""
        finite = np.isfinite(self.points).all(axis=2)
        canvas = self.source.shape[2:]
        along = [self._along(axis, axis == sloped) for axis in range(self.way.axes)]
        for taps in np.ndindex(*(len(each) for each in along)):
            number, weight, stride = np.zeros(finite.shape, int), finite.astype(float), 1
            for axis, tap in enumerate(taps):
                pixel, factor = along[axis][tap]
                number, weight = number + pixel * stride, weight * factor
                stride *= canvas[-1 - axis]
            yield number, weight

    def _along(self, axis: int, sloped: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each tap along one axis: its pixel, and its weight or the weight's slope."""
        valid = self.valid[:, -1 - axis, None].astype(np.float64)
        span = valid - 1 if self.way.align_corners else valid
        near = np.nan_to_num(self.points[..., axis].astype(np.float64), nan=0).clip(-FAR, FAR)
        position = (near + 1) * span / 2 - (0 if self.way.align_corners else 0.5)
        if self.way.mode == "nearest":
            places = [np.floor(position + 0.5)]
            weights = [np.full(position.shape, 0.0 if sloped else 1.0)]
        else:
            steps = range(2) if self.way.mode == "linear" else range(-1, 3)
            kernel = {"linear": (_linear, _linear_slope), "cubic": (_cubic, _cubic_slope)}[self.way.mode][
                sloped
            ]
            places = [np.floor(position) + step for step in steps]
            weights = [kernel(position - place) * (span / 2 if sloped else 1) for place in places]
        return [self._padded(place, weight, valid) for place, weight in zip(places, weights, strict=True)]

    def _padded(
        self, place: np.ndarray, weight: np.ndarray, valid: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        inside = place.clip(0, valid - 1)
        if self.way.padding == "zeros":
            weight = np.where(inside == place, weight, 0)
        if self.way.padding == "reflection":
            centred = 0 if self.way.align_corners else 1
            period = np.maximum(2 * (valid - 1 + centred), 1)
            folded = place % period
            inside = np.minimum(folded, period - centred - folded).clip(0, valid - 1)
        return inside.astype(int), weight


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(distance))


def _linear_slope(distance: np.ndarray) -> np.ndarray:
    return np.where(distance < 0, 1.0, -1.0) * ((distance >= -1) & (distance < 1))


def _cubic(distance: np.ndarray) -> np.ndarray:
    a, s = -0.75, np.abs(distance)
    near, far = (a + 2) * s**3 - (a + 3) * s**2 + 1, a * (s**3 - 5 * s**2 + 8 * s - 4)
    return np.where(s <= 1, near, np.where(s < 2, far, 0))


def _cubic_slope(distance: np.ndarray) -> np.ndarray:
    a, s = -0.75, np.abs(distance)
    near, far = 3 * (a + 2) * s**2 - 2 * (a + 3) * s, a * (3 * s**2 - 10 * s + 8)
    return np.sign(distance) * np.where(s <= 1, near, np.where(s < 2, far, 0))
