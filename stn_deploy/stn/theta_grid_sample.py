"""Grid generator and sampler in one, on a padded canvas: the node of the exported file."""

from __future__ import annotations

import torch
from torch import Tensor

from stn_deploy.errors import ShapeError
from stn_deploy.stn.checks import check_source
from stn_deploy.stn.sampler import sample


def theta_grid_sample(
    source: Tensor, basis: Tensor, theta: Tensor, extents: Tensor, output_size: tuple[int, int]
) -> Tensor:
    """What the node ``stn_deploy::ThetaGridSample`` of the exported file computes, in plain torch.

    Grid generator and bilinear sampler with border padding, on images that fill only the upper left part of a
    padded canvas: theta is normalised over that valid part.

    Args:
        source: padded canvas, (n, c, H, W), floating point. One row and column past the valid part must
            repeat its edge.
        basis: (h * w, K).
        theta: (n, K, 2), normalised over the valid part.
        extents: (n, 2), valid fraction (height, width) of the canvas, in (0, 1].
        output_size: (h, w).
    Returns:
        V, (n, c, h, w); 0 where a coordinate is not finite.
    Raises:
        ShapeError: tensors that do not fit together.
    """
    _check_shapes(source, basis, theta, extents, output_size)
    grid = (basis.to(theta.dtype) @ theta).reshape(-1, *output_size, 2)
    # Clamping hides infinities, which must sample as 0; so they become NaN first.
    finite = torch.where(torch.isfinite(grid).all(dim=-1, keepdim=True), grid, torch.nan)
    valid = extents.flip(1)[:, None, None, :]
    canvas = (finite.clamp(-1, 1) + 1) * valid - 1
    return sample(source, canvas, padding="border")


def _check_shapes(
    source: Tensor, basis: Tensor, theta: Tensor, extents: Tensor, output_size: tuple[int, int]
) -> None:
    check_source(source)
    n, (height, width) = source.shape[0], output_size
    if source.ndim != 4:
        raise ShapeError(f"source: expected (n, c, H, W), got {tuple(source.shape)}")
    if basis.ndim != 2 or basis.shape[0] != height * width:
        raise ShapeError(f"basis: expected ({height * width}, K), got {tuple(basis.shape)}")
    if theta.ndim != 3 or theta.shape[0] != n or tuple(theta.shape[1:]) != (basis.shape[1], 2):
        raise ShapeError(f"theta: expected ({n}, {basis.shape[1]}, 2), got {tuple(theta.shape)}")
    if extents.ndim != 2 or extents.shape[0] != n or extents.shape[1] != 2:
        raise ShapeError(f"extents: expected ({n}, 2), got {tuple(extents.shape)}")
