"""The way back through a transform that has no formula for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.geometry.convention import FloatArray, checked_points, target_points

_LATTICE = (9, 33)
_STEP = 1e-4


def invert_map(
    source_from_target: Callable[[FloatArray], NDArray[np.float64]],
    source_points: ArrayLike,
    *,
    iterations: int = 20,
) -> NDArray[np.float64]:
    """Target points that a smooth map sends to given source points, by damped Newton iteration.

    Convention: normalised on both sides. The start is the nearest node of a lattice over V, so a fold outside
    V does not attract points that lie in V.
    Args:
        source_from_target: (P, 2) -> (P, 2), for example ``lambda p: thin_plate_basis(c, p) @ theta``.
        source_points: (P, 2).
        iterations: Newton steps.
    Returns:
        (P, 2); where the map cannot be inverted, the closest point that was found.
    """
    wanted = checked_points(source_points).astype(np.float64).reshape(-1, 2)
    nodes = target_points(_LATTICE) * 1.1
    reached = source_from_target(nodes)
    distance = ((wanted[:, None] - reached[None]) ** 2).sum(axis=-1)
    found = nodes[distance.argmin(axis=1)]
    residual = wanted - source_from_target(found)
    for _ in range(iterations):
        jacobian = np.stack(
            [
                (source_from_target(found + shift) - source_from_target(found - shift)) / (2 * _STEP)
                for shift in np.eye(2) * _STEP
            ],
            axis=-1,
        )
        singular = np.abs(np.linalg.det(jacobian)) < 1e-9
        jacobian[singular] = np.eye(2)
        step = np.clip(np.linalg.solve(jacobian, residual[..., None])[..., 0], -0.25, 0.25)
        step[singular] = 0
        candidate = found + step
        remaining = wanted - source_from_target(candidate)
        better = (remaining**2).sum(axis=-1) <= (residual**2).sum(axis=-1)
        found = np.where(better[:, None], candidate, found + step / 4)
        residual = np.where(better[:, None], remaining, wanted - source_from_target(found))
    return np.asarray(found, np.float64)
