"""Grid generator: theta -> sampling grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stn_deploy.errors import ShapeError
from stn_deploy.geometry import affine_basis, control_point_targets, target_points, thin_plate_basis
from stn_deploy.geometry.convention import Size, checked_size


class GridGenerator(nn.Module):
    """Sampling grid as a constant basis times theta.

    Convention: normalised (x, y) over pixel edges; theta maps target to source.
    The grid is computed in float32 (float64 for float64 theta) even under autocast: in half precision the
    positions are off by up to 0.1 pixel.

    Source: Jaderberg et al. 2015, section 3.2.
    """

    basis: Tensor

    def __init__(self, basis: Tensor, output_size: Size) -> None:
        """Keep a basis.

        Args:
            basis: (P, K), P = height * width of the output.
            output_size: height and width of V, pixels.
        Raises:
            ShapeError: P does not fit the output size.
        """
        super().__init__()
        height, width = checked_size(output_size, "output_size")
        if basis.ndim != 2 or basis.shape[0] != height * width:
            raise ShapeError(f"basis: expected ({height * width}, K), got {tuple(basis.shape)}")
        self.output_size = (height, width)
        self.register_buffer("basis", basis.to(torch.float32), persistent=False)

    @classmethod
    def affine(cls, output_size: Size) -> GridGenerator:
        """Grid of affine transforms; theta is (n, 3, 2). Source: equation 1."""
        return cls(torch.from_numpy(affine_basis(target_points(output_size))), output_size)

    @classmethod
    def thin_plate_spline(
        cls, output_size: Size, control_points: int = 20, *, kernel_aspect: float = 1.0
    ) -> GridGenerator:
        """Grid of thin-plate splines; theta is (n, K, 2): the source position of each control point.

        kernel_aspect: see `stn_deploy.geometry.thin_plate_basis`.
        """
        targets = control_point_targets(control_points)
        basis = thin_plate_basis(targets, target_points(output_size), kernel_aspect=kernel_aspect)
        return cls(torch.from_numpy(basis), output_size)

    def forward(self, theta: Tensor) -> Tensor:
        """Sampling grid.

        Args:
            theta: (n, K, 2).
        Returns:
            (n, height, width, 2) source coordinates.
        Raises:
            ShapeError: theta has another shape.
        """
        if theta.ndim != 3 or tuple(theta.shape[1:]) != (self.basis.shape[1], 2):
            raise ShapeError(f"theta: expected (n, {self.basis.shape[1]}, 2), got {tuple(theta.shape)}")
        precise = torch.float64 if theta.dtype == torch.float64 else torch.float32
        with torch.autocast(theta.device.type, enabled=False):
            grid = self.basis.to(precise) @ theta.to(precise)
        return grid.reshape(-1, *self.output_size, 2)
