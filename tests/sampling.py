"""What the tests of the sampler sample: sizes, modes, random sources and grids."""

from __future__ import annotations

import torch
from torch import Tensor

from stn_deploy.geometry.sampling import MODES
from stn_deploy.stn import sample

SIZES = [
    ((1, 1), (3, 4)),
    ((1, 6), (4, 3)),
    ((3, 8), (5, 2)),
    ((17, 6), (9, 23)),
    ((1, 1, 1), (2, 3, 1)),
    ((2, 5, 3), (3, 2, 4)),
]
CASES = [(mode, sizes) for sizes in SIZES for mode in MODES[len(sizes[0])]]
RANKS = [(mode, *sizes) for mode, sizes in CASES if sizes in (SIZES[3], SIZES[5])]


def random_pair(
    before: tuple[int, ...], after: tuple[int, ...], reach: float = 1.7, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """U with values in [0, 1], and a grid whose positions go ``reach`` times as far as its edges."""
    generator = torch.Generator().manual_seed(sum(before))
    source = torch.rand(2, 3, *before, generator=generator, dtype=dtype)
    grid = (torch.rand(2, *after, len(after), generator=generator, dtype=dtype) * 2 - 1) * reach
    return source, grid


def with_gradients(
    source: Tensor, grid: Tensor, upstream: Tensor, **settings: str
) -> tuple[Tensor, Tensor, Tensor]:
    """V, and the gradients of (V * upstream).sum() for U and for the grid."""
    u, positions = source.clone().requires_grad_(), grid.clone().requires_grad_()
    sampled = sample(u, positions, **settings)  # type: ignore[arg-type]
    for_source, for_grid = torch.autograd.grad(sampled, (u, positions), upstream)
    return sampled.detach(), for_source, for_grid
