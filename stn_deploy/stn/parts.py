"""What one transformer and several in parallel share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import Transform, source_corners
from stn_deploy.geometry.sampling import MODES
from stn_deploy.stn.checks import check_source, check_tensor, check_transform
from stn_deploy.stn.grid_generator import GridGenerator
from stn_deploy.stn.sampler import Sampler


class Inspection(NamedTuple):
    """What a transformer did, for pictures.

    output: V, (n, c, h, w). theta: (n, p). grid: (n, h, w, 2), normalised.
    corners: (n, 4, 2), where the corners of V lie in U, clockwise from the top left; normalised.
    Of volumes (n, c, d, h, w), (n, d, h, w, 3) and (n, 8, 3).
    """

    output: Tensor
    theta: Tensor
    grid: Tensor
    corners: Tensor


def check_module(name: str, module: object) -> None:
    """Refuse what is not a torch module.

    Raises:
        ArgumentError: it is not.
    """
    if not isinstance(module, nn.Module):
        hint = "; join several with nn.Sequential" if isinstance(module, (list, tuple)) else ""
        raise ArgumentError(f"{name}: expected a torch module, got {module!r}{hint}")


def constrained_theta(theta: Tensor, constraint: nn.Module, source: Tensor) -> Tensor:
    """What a constraint makes of the theta (n, p) of a localisation network.

    Raises:
        ArgumentError: the network answered with something else than a tensor.
        ShapeError: it answered for another number of images.
    """
    check_tensor("theta", theta)
    if theta.ndim and theta.shape[0] != source.shape[0]:
        raise ShapeError(
            f"theta: expected one for each of {source.shape[0]} images, got {tuple(theta.shape)} from the "
            "localisation network"
        )
    constrained: Tensor = constraint(theta)
    return constrained


def check_parts(sampler: Sampler, transform: Transform) -> None:
    """Refuse a sampler and a transform that are none, or that are for another number of dimensions.

    Raises:
        ArgumentError: they are.
    """
    check_transform("transform", transform)
    if not isinstance(sampler, Sampler):
        raise ArgumentError(f"sampler: expected a Sampler, such as Sampler(), got {sampler!r}")
    allowed = MODES[transform.dimensions]
    if sampler.mode not in allowed:
        raise ArgumentError(
            f"sampler: expected mode {' or '.join(allowed)} for a transform of {transform.dimensions} "
            f"dimensions, got {sampler.mode!r}"
        )


def check_dimensions(source: Tensor, transform: Transform) -> None:
    """Refuse a volume for a transform of images, and the other way round.

    Raises:
        ShapeError, ArgumentError: the source does not fit; see `stn_deploy.stn.checks.check_source`.
    """
    check_source(source)
    dimensions = transform.dimensions
    if source.ndim - 2 != dimensions:
        letters = ("H, W", "D, H, W")[dimensions - 2]
        raise ShapeError(f"source: expected (n, c, {letters}), got {tuple(source.shape)}")


def inspect_theta(
    source: Tensor, theta: Tensor, grid_generator: GridGenerator, sampler: Sampler
) -> Inspection:
    """What one transformer does to U (n, c, H, W) with theta (n, p)."""
    grid = grid_generator(theta)
    corners = source_corners(grid_generator.transform, theta.detach().cpu().double().numpy())
    corners_in_source = torch.tensor(corners, dtype=grid.dtype, device=grid.device)
    return Inspection(sampler(source, grid), theta, grid, corners_in_source)
