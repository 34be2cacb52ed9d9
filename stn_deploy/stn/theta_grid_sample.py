"""Grid generator and sampler in one, on a padded canvas: the node of the exported file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stn_deploy.errors import ShapeError
from stn_deploy.geometry.sampling import MODES, PADDINGS, check_choice
from stn_deploy.stn.checks import check_source
from stn_deploy.stn.grid_generator import divided
from stn_deploy.stn.sampler import sample


def theta_grid_sample(
    source: Tensor,
    basis: Tensor,
    theta: Tensor,
    extents: Tensor,
    output_size: Sequence[int],
    *,
    mode: str = "bilinear",
    padding: str = "border",
    homogeneous: bool = False,
) -> Tensor:
    """What the node ``stn_deploy::ThetaGridSample`` of the exported file computes, in plain torch.

    Grid generator and sampler on images that fill only the upper left part of a padded canvas: theta is
    normalised over that valid part, and what lies outside it is padding.

    Args:
        source: padded canvas, (n, c, H, W) or (n, c, D, H, W), floating point. For bilinear sampling one row
            and column past the valid part must repeat its edge.
        basis: (P, K), P = number of pixels of V.
        theta: (n, K, 2) or (n, K, 3), normalised over the valid part; one more column where homogeneous.
        extents: (n, 2), valid fraction (height, width) of the canvas, or (n, 3) with the depth first; in
            (0, 1].
        output_size: (h, w) or (d, h, w).
        mode, padding: see `stn_deploy.stn.sample`.
        homogeneous: whether the last column that theta gives divides the others.
    Returns:
        V, (n, c, h, w) or (n, c, d, h, w); 0 where a coordinate is not finite.
    Raises:
        ShapeError: tensors that do not fit together.
        ArgumentError: an unknown mode or padding.
    """
    check_source(source)
    check_choice("mode", mode, MODES[source.ndim - 2])
    check_choice("padding", padding, PADDINGS)
    _check_shapes(source, basis, theta, extents, output_size, homogeneous)
    planes = (basis.to(theta.dtype) @ theta).movedim(-1, 1)
    if homogeneous:
        planes = divided(planes)
    grid = planes.movedim(1, -1).reshape(-1, *output_size, source.ndim - 2)
    if mode == "bilinear" and padding == "border":
        return _bordered(source, grid, extents)
    lengths = torch.tensor(source.shape[2:], device=extents.device)
    valid = (extents * lengths).round().long().tolist()
    # What the node means: each image sampled alone, cut out of its canvas.
    tight = [image[tuple(map(slice, (None, *size)))] for image, size in zip(source, valid, strict=True)]
    sampled = [
        sample(image[None], positions[None], mode=mode, padding=padding)
        for image, positions in zip(tight, grid, strict=True)
    ]
    return torch.cat(sampled) if sampled else source.new_zeros(0, source.shape[1], *output_size)


def _bordered(source: Tensor, grid: Tensor, extents: Tensor) -> Tensor:
    """All images at once: clamped to the valid part, whose repeated edge is the padding."""
    # Clamping hides infinities, which must sample as 0; so they become NaN first.
    finite = torch.where(torch.isfinite(grid).all(dim=-1, keepdim=True), grid, torch.nan)
    valid = extents.flip(1)[:, None, None, :]
    canvas = (finite.clamp(-1, 1) + 1) * valid - 1
    return sample(source, canvas, padding="border")


def _check_shapes(
    source: Tensor,
    basis: Tensor,
    theta: Tensor,
    extents: Tensor,
    output_size: Sequence[int],
    homogeneous: bool,
) -> None:
    n, axes = source.shape[0], source.ndim - 2
    if len(output_size) != axes:
        raise ShapeError(
            f"output_size: expected {axes} lengths for a source {tuple(source.shape)}, got {output_size}"
        )
    pixels = math.prod(output_size)
    if basis.ndim != 2 or basis.shape[0] != pixels:
        raise ShapeError(f"basis: expected ({pixels}, K), got {tuple(basis.shape)}")
    columns = axes + homogeneous
    if theta.ndim != 3 or theta.shape[0] != n or tuple(theta.shape[1:]) != (basis.shape[1], columns):
        raise ShapeError(f"theta: expected ({n}, {basis.shape[1]}, {columns}), got {tuple(theta.shape)}")
    if extents.ndim != 2 or extents.shape[0] != n or extents.shape[1] != axes:
        raise ShapeError(f"extents: expected ({n}, {axes}), got {tuple(extents.shape)}")
