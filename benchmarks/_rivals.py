"""What others do for the same grid and sample, after their published code: the rivals of transformer.py."""

from __future__ import annotations

import torch
from _aster import unfolded_spline
from kornia.geometry.transform import warp_points_tps
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.geometry import control_point_targets, target_points


def sample(source: Tensor, grid: Tensor) -> Tensor:
    """The sampler of torch, with the convention of this project."""
    return F.grid_sample(source, grid, "bilinear", "border", align_corners=False)


class TorchAffine:
    """F.affine_grid and F.grid_sample."""

    def __init__(self, output_size: tuple[int, int]) -> None:
        self.output_size = output_size

    def __call__(self, source: Tensor, theta: Tensor) -> Tensor:
        shape = [len(source), source.shape[1], *self.output_size]
        grid = F.affine_grid(theta.reshape(-1, 2, 3), shape, align_corners=False)
        return sample(source, grid)


class UnfoldedSpline:
    """The thin-plate spline of TRBA (Baek et al. 2019): pad the control points, solve, then all points."""

    def __init__(self, output_size: tuple[int, int], count: int) -> None:
        self.output_size = output_size
        inverse, lifted = unfolded_spline(control_point_targets(count), target_points(output_size))
        self.inverse = torch.tensor(inverse, dtype=torch.float32)
        self.lifted = torch.tensor(lifted, dtype=torch.float32)

    def coefficients(self, theta: Tensor) -> Tensor:
        n = len(theta)
        padded = torch.cat([theta.reshape(n, -1, 2), theta.new_zeros(n, 3, 2)], dim=1)
        return torch.bmm(self.inverse.repeat(n, 1, 1), padded)

    def __call__(self, source: Tensor, theta: Tensor) -> Tensor:
        n = len(theta)
        points = torch.bmm(self.lifted.repeat(n, 1, 1), self.coefficients(theta))
        return sample(source, points.reshape(n, *self.output_size, 2))


class KorniaSpline:
    """The thin-plate spline of kornia.geometry.transform.

    Two of its functions are not called: get_tps_transform puts the kernels at the source points, which is
    another warp, so the weights come from the unfolded system above (which also is the faster way);
    warp_image_tps only makes outputs as large as the input, so warp_points_tps, its core, gets the points of
    the wanted output.
    """

    def __init__(self, output_size: tuple[int, int], count: int) -> None:
        self.output_size = output_size
        self.system = UnfoldedSpline(output_size, count)
        self.targets = torch.tensor(control_point_targets(count), dtype=torch.float32)[None]
        self.points = torch.tensor(target_points(output_size), dtype=torch.float32)[None]

    def __call__(self, source: Tensor, theta: Tensor) -> Tensor:
        n = len(theta)
        kernel, affine = self.system.coefficients(theta).split([self.targets.shape[1], 3], dim=1)
        points, targets = self.points.expand(n, -1, -1), self.targets.expand(n, -1, -1)
        warped = warp_points_tps(points, targets, kernel, affine)
        return sample(source, warped.reshape(n, *self.output_size, 2))
