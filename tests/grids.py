"""A grid generator for each transform, and what its grid should be."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from stn_deploy.geometry import source_grid
from stn_deploy.stn import GridGenerator
from tests.transforms import TRANSFORMS, as_batch, random_theta

FIXED: dict[int, tuple[int, ...]] = {2: (5, 9), 3: (2, 4, 5)}


def make(name: str) -> tuple[GridGenerator, Tensor]:
    """A grid generator and three thetas for it."""
    transform = TRANSFORMS[name]
    return GridGenerator(transform, FIXED[transform.dimensions]), as_batch(random_theta(transform, 3))


def expected_grid(grid_generator: GridGenerator, theta: Tensor) -> np.ndarray:
    return source_grid(grid_generator.transform, theta.double().numpy(), grid_generator.output_size)


def error(grid: Tensor, expected: np.ndarray) -> float:
    """Against the size of the numbers, for a spline may reach beyond V and a divisor magnify."""
    return float(np.abs(grid.double().numpy() - expected).max() / max(1.0, np.abs(expected).max()))
