"""Grid generator: theta -> sampling grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, nn

from stn_deploy.geometry import Transform, checked_extent, target_points
from stn_deploy.stn.checks import check_theta, check_transform
from stn_deploy.stn.constants import Constants
from stn_deploy.stn.precision import exact_product, without_autocast


class GridGenerator(nn.Module):
    """Sampling grid of a transform: a constant basis times the coefficients that theta holds.

    Convention: normalised (x, y) or (x, y, z) over pixel edges; theta maps target to source.
    The grid is computed in float32, in float64 after ``.double()``, and never below, neither under autocast
    nor after ``.half()``; see `stn_deploy.stn.precision`.

    Attributes:
        transform: the family of maps.
        output_size: (h, w) or (d, h, w) of V, pixels.
    Source: Jaderberg et al. 2015, section 3.2.
    """

    def __init__(self, transform: Transform, output_size: ArrayLike) -> None:
        """Compute the constants, in float64.

        Args:
            transform: such as `stn_deploy.geometry.AFFINE` or ``ThinPlateSpline.on_edges(20)``.
            output_size: height and width of V, or depth, height and width; pixels.
        Raises:
            ArgumentError: an output without pixels, or of another number of dimensions than the transform.
        """
        super().__init__()
        check_transform("transform", transform)
        self.transform = transform
        self.output_size = checked_extent(output_size, "output_size", transform.dimensions)
        self.rows = transform.dimensions + transform.homogeneous
        self.constants = Constants(
            {
                "basis": transform.basis(target_points(self.output_size)),
                "expansion": transform.expansion,
                "offset": transform.offset,
            }
        )

    @property
    def basis(self) -> Tensor:
        """(P, K), P = number of pixels of V."""
        return self.constants.get_buffer("basis")

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        return f"{self.transform!r}, output_size={self.output_size}"

    def coefficients(self, theta: Tensor) -> Tensor:
        """Coefficients of the basis: for a matrix transform, the matrix A_theta of equation 1.

        Args:
            theta: (n, p).
        Returns:
            (n, R, K), a row for x, one for y (for z; for the divisor of a projective map).
        Raises:
            ShapeError, ArgumentError: theta has another shape, type or device.
        """
        check_theta(theta, self.transform.parameters, self.transform.name, self.basis)
        with without_autocast(theta):
            wide = theta.to(self.basis.dtype)
            expanded = exact_product(wide, self.constants.get_buffer("expansion"))
            flat = expanded + self.constants.get_buffer("offset")
        return flat.reshape(theta.shape[0], self.rows, self.basis.shape[1])

    def forward(self, theta: Tensor) -> Tensor:
        """Sampling grid.

        Args:
            theta: (n, p).
        Returns:
            (n, h, w, 2) or (n, d, h, w, 3) source coordinates; NaN where a projective map has no point.
        Raises:
            ShapeError, ArgumentError: theta has another shape, type or device.
        """
        coefficients = self.coefficients(theta)
        # One product for the whole batch, x and y in planes: several times as fast as a product per item.
        rows = coefficients.reshape(-1, self.basis.shape[1])
        with without_autocast(theta):
            planes = exact_product(rows, self.basis.T).reshape(theta.shape[0], self.rows, *self.output_size)
        if self.transform.homogeneous:
            planes = divided(planes)
        return planes.movedim(1, -1)


def divided(planes: Tensor) -> Tensor:
    """All planes but the last divided by the last; NaN, without a gradient, where it is zero."""
    divisor = planes[:, -1:]
    nowhere = divisor == 0
    quotient = planes[:, :-1] / divisor.masked_fill(nowhere, 1)
    return quotient.masked_fill(nowhere, np.nan)
