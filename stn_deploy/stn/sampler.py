"""Sampler: U and grid -> V, and the same straight from theta on a padded canvas."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_deploy.errors import ArgumentError, ShapeError

PADDINGS = ("border", "zeros", "reflection")


def sample(source: Tensor, grid: Tensor, *, padding: str = "border") -> Tensor:
    """Bilinear sampling.

    Convention: normalised (x, y) over pixel edges. NaN or infinite coordinates sample as 0.
    Args:
        source: U, (n, c, H, W), floating point.
        grid: (n, h, w, 2), source coordinates of each pixel of V.
        padding: what lies outside U: border, zeros or reflection.
    Returns:
        V, (n, c, h, w), in the type of ``source``.
    Raises:
        ShapeError: a tensor of another rank, or batches that differ.
        ArgumentError: an unknown padding, or a source of whole numbers.
    Source: Jaderberg et al. 2015, equation 5.
    """
    if padding not in PADDINGS:
        raise ArgumentError(f"padding: expected one of {', '.join(PADDINGS)}, got {padding!r}")
    if source.ndim != 4 or grid.ndim != 4 or grid.shape[-1] != 2 or source.shape[0] != grid.shape[0]:
        raise ShapeError(
            f"sample: expected source (n, c, H, W) and grid (n, h, w, 2), "
            f"got {tuple(source.shape)} and {tuple(grid.shape)}"
        )
    if not source.is_floating_point():
        raise ArgumentError(f"source: expected a floating-point tensor, got {source.dtype}; call .float()")
    # Positions stay in float32 or better; the source follows, since the kernel wants one type.
    precise = torch.promote_types(source.dtype, grid.dtype)
    finite = torch.isfinite(grid).all(dim=-1)
    # Far positions would overflow to NaN on the way to pixels; a million images away is far enough.
    positions = torch.where(finite[..., None], grid, 0).clamp(-1e6, 1e6).to(precise)
    with torch.autocast(source.device.type, enabled=False):
        sampled = F.grid_sample(source.to(precise), positions, "bilinear", padding, align_corners=False)
    return (sampled * finite[:, None]).to(source.dtype)


class Sampler(nn.Module):
    """`sample` as a module. padding: border, zeros or reflection."""

    def __init__(self, padding: str = "border") -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise ArgumentError(f"padding: expected one of {', '.join(PADDINGS)}, got {padding!r}")
        self.padding = padding

    def forward(self, source: Tensor, grid: Tensor) -> Tensor:
        """V (n, c, h, w) of ``source`` (n, c, H, W) at ``grid`` (n, h, w, 2)."""
        return sample(source, grid, padding=self.padding)


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
    """
    grid = (basis.to(theta.dtype) @ theta).reshape(-1, *output_size, 2)
    # Clamping hides infinities, which must sample as 0; so they become NaN first.
    finite = torch.where(torch.isfinite(grid).all(dim=-1, keepdim=True), grid, torch.nan)
    valid = extents.flip(1)[:, None, None, :]
    canvas = (finite.clamp(-1, 1) + 1) * valid - 1
    return sample(source, canvas, padding="border")
