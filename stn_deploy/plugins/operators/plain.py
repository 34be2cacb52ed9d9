"""What the kernels compute, in operators of torch, gradients written out: for every device, and for float64.

Unlike `stn_deploy.stn.theta_grid_sample` it reads no pixel beyond the valid part, and knows align_corners.
Convention: positions are ``points`` (n, P, axes), normalised, x first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.geometry.sampling import FAR
from stn_deploy.plugins.operators.tensors import Settings, Wanted, empty_output
from stn_deploy.stn.precision import exact_product, without_autocast

_INTERPOLATIONS = {"bilinear": 0, "trilinear": 0, "nearest": 1, "bicubic": 2}  # as ATen counts them
_PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}
Part = tuple[Tensor | slice, tuple[Any, ...]]
"""Which images, and the index of the pixels that they fill: an ellipsis and a slice for each axis."""


def points_of(basis: Tensor, theta: Tensor, homogeneous: bool) -> tuple[Tensor, Tensor | None]:
    """basis @ theta, (n, P, axes), and what divided it, (n, P, 1), where homogeneous."""
    with without_autocast(theta):
        rows = theta.transpose(1, 2).reshape(-1, theta.shape[1])
        planes = exact_product(rows, basis.T).reshape(theta.shape[0], theta.shape[2], basis.shape[0])
    columns = planes.transpose(1, 2)
    if not homogeneous:
        return columns, None
    divisor = columns[..., -1:]
    return columns[..., :-1] / divisor, divisor


def theta_gradient_of(
    basis: Tensor, points: Tensor, divisor: Tensor | None, points_gradient: Tensor
) -> Tensor:
    """Gradient for theta of a gradient for what `points_of` returned."""
    moved = points_gradient
    if divisor is not None:
        # x = X / W: dx/dX = 1 / W, dx/dW = -x / W. What is not finite has no gradient.
        finite = torch.isfinite(points).all(dim=-1, keepdim=True)
        moved = torch.where(finite, moved / divisor, 0)
        moved = torch.cat(
            [moved, -(moved * torch.where(finite, points, 0)).sum(dim=-1, keepdim=True)], dim=-1
        )
    n, count, columns = moved.shape
    with without_autocast(moved):
        summed = exact_product(moved.transpose(1, 2).reshape(n * columns, count), basis)
    return summed.reshape(n, columns, basis.shape[1]).transpose(1, 2)


def sample(
    source: Tensor, points: Tensor, extents: Tensor | None, sizes: Sequence[int], settings: Settings
) -> Tensor:
    """V, (n, c, *sizes) of U at the points."""
    output = empty_output(source, sizes)
    if not output.numel():
        return output
    flat = source.new_empty(*source.shape[:2], points.shape[1])
    for images, inside in _of_one_size(source, extents):
        grid, finite = _grid_of(points[images], inside, settings)
        with without_autocast(source):
            sampled = F.grid_sample(
                source[images][inside].to(points.dtype),
                grid,
                "bilinear" if settings.mode == "trilinear" else settings.mode,
                settings.padding,
                align_corners=settings.align_corners,
            )
        flat[images] = torch.where(finite, sampled.flatten(2), 0).to(source.dtype)
    return output.copy_(flat.view(output.shape))


def gradients(
    gradient: Tensor,
    source: Tensor,
    points: Tensor,
    extents: Tensor | None,
    settings: Settings,
    wanted: Wanted,
) -> tuple[Tensor, Tensor]:
    """Gradients for U, in its type, and for the points. One that is not wanted is zero, or not complete."""
    source_gradient = source.new_zeros(source.shape, dtype=points.dtype)
    points_gradient = torch.zeros_like(points)
    if not gradient.numel():
        return source_gradient.to(source.dtype), points_gradient
    axes = source.ndim - 2
    backward = (torch.ops.aten.grid_sampler_2d_backward, torch.ops.aten.grid_sampler_3d_backward)[axes - 2]
    for images, inside in _of_one_size(source, extents):
        here = points[images]
        grid, finite = _grid_of(here, inside, settings)
        upstream = torch.where(finite, gradient[images].flatten(2).to(points.dtype), 0)
        with without_autocast(source):
            for_source, for_grid = backward(
                upstream.view(*upstream.shape[:2], *grid.shape[1:-1]),
                source[images][inside].to(points.dtype).contiguous(),
                grid,
                _INTERPOLATIONS[settings.mode],
                _PADDINGS[settings.padding],
                settings.align_corners,
                list(wanted),
            )
        if wanted[0]:
            part = source.new_zeros(len(here), *source.shape[1:], dtype=points.dtype)
            part[inside] = for_source
            source_gradient[images] = part
        if wanted[1] and settings.mode != "nearest":
            # Beyond FAR positions are clamped, and move no sample.
            points_gradient[images] = torch.where(here.abs() <= FAR, for_grid.view_as(here), 0)
    return source_gradient.to(source.dtype), points_gradient


def _of_one_size(source: Tensor, extents: Tensor | None) -> Iterator[Part]:
    """Images that fill equal parts of their canvas, together."""
    if extents is None:
        yield slice(None), (..., *map(slice, source.shape[2:]))
        return
    lengths = torch.tensor(source.shape[2:], device=extents.device, dtype=extents.dtype)
    filled = (extents * lengths).round()
    # At least a pixel and at most the canvas, whatever an extent may be.
    valid = torch.where(filled >= 1, filled, 1).minimum(lengths).long()
    sizes, which = torch.unique(valid, dim=0, return_inverse=True)
    for index, size in enumerate(sizes.tolist()):
        yield (which == index).nonzero()[:, 0], (..., *map(slice, size))


def _grid_of(points: Tensor, inside: tuple[Any, ...], settings: Settings) -> tuple[Tensor, Tensor]:
    """Positions as torch takes them, (n, 1, P, 2) or (n, 1, 1, P, 3), and which are finite, (n, 1, P)."""
    finite = torch.isfinite(points).all(dim=-1)
    grid = torch.where(finite[..., None], points, 0).clamp(-FAR, FAR)
    if settings.mode == "nearest":
        lengths = reversed([part.stop for part in inside[1:]])
        coordinates = zip(grid.unbind(dim=-1), lengths, strict=True)
        grid = torch.stack([_centre(x, length, settings.align_corners) for x, length in coordinates], dim=-1)
    shape = (len(points), *(1,) * (points.shape[-1] - 1), *points.shape[1:])
    return grid.reshape(shape), finite[:, None]


def _centre(x: Tensor, length: int, align_corners: bool) -> Tensor:
    """Centre of the pixel in which a coordinate lies, at a tie of the later; torch takes the even one."""
    if not align_corners:
        return (torch.floor((x + 1) * (length / 2)) * 2 + 1) / length - 1
    pixels = torch.floor((x + 1) * ((length - 1) / 2) + 0.5)
    return pixels * (2 / max(length - 1, 1)) - 1
