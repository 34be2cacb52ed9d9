"""The spline of a line of text: where its control points lie in V, and what V's coordinates span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.geometry.control_points import inset_control_points
from stn_deploy.geometry.convention import checked_points, checked_size, target_points
from stn_deploy.geometry.thin_plate import thin_plate_basis


class SplineSettings(Protocol):
    """What `TextSpline.of` reads of a spec."""

    @property
    def kernel_aspect(self) -> float:
        """See `TextSpline`."""

    @property
    def control_inset(self) -> float:
        """See `TextSpline`."""

    @property
    def target_align_corners(self) -> bool:
        """See `TextSpline`."""


@dataclass(frozen=True, kw_only=True)
class TextSpline:
    """Half of the control points above the text, half below it; and how V's coordinates are meant.

    kernel_aspect: of the kernel, see `stn_deploy.geometry.thin_plate_basis`.
    control_inset: how far the control points stand inside the edges of V, in [0, 1), normalised. 0.1 is
        ASTER's margin of 0.05 of the width and height.
    target_align_corners: whether the centres of V's outermost pixels lie at -1 and 1, as in ASTER, instead of
        V's edges.
    """

    kernel_aspect: float = 1.0
    control_inset: float = 0.0
    target_align_corners: bool = False

    @classmethod
    def of(cls, spec: SplineSettings) -> TextSpline:
        """The spline of a `stn_deploy.artifact.RectifierSpec`."""
        return cls(
            kernel_aspect=spec.kernel_aspect,
            control_inset=spec.control_inset,
            target_align_corners=spec.target_align_corners,
        )

    def basis(self, count: int, points: ArrayLike, size: ArrayLike) -> NDArray[np.float64]:
        """Constant factor of the grid: ``source = basis(K, points, size) @ theta``.

        Convention: normalised over the edges of V, whatever the spline itself means by -1 and 1.
        Args:
            count: K, even and at least 4.
            points: (P, 2) target points.
            size: height and width of V, pixels.
        Returns:
            (P, K), float64; each row sums to one.
        Raises:
            ArgumentError: settings out of their range, or a size below one pixel.
        """
        targets = inset_control_points(count, self.control_inset)
        array = checked_points(points).astype(np.float64)
        if self.target_align_corners:
            width_and_height = np.array(checked_size(size)[::-1])
            # A single pixel has its centre at 0, and no second one that a scale could put at 1.
            array = array * (width_and_height / np.maximum(width_and_height - 1, 1))
        return thin_plate_basis(targets, array, kernel_aspect=self.kernel_aspect)

    def pixel_basis(self, count: int, size: ArrayLike) -> NDArray[np.float64]:
        """(P, K): `basis` at the pixel centres of V, row by row."""
        return self.basis(count, target_points(size), size)
