"""Grid generator and sampler in one, on a padded canvas: the node of the exported file."""

from __future__ import annotations

import torch
from torch import Tensor

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
    """
    grid = (basis.to(theta.dtype) @ theta).reshape(-1, *output_size, 2)
    # Clamping hides infinities, which must sample as 0; so they become NaN first.
    finite = torch.where(torch.isfinite(grid).all(dim=-1, keepdim=True), grid, torch.nan)
    valid = extents.flip(1)[:, None, None, :]
    canvas = (finite.clamp(-1, 1) + 1) * valid - 1
    return sample(source, canvas, padding="border")
