"""The affine transform as basis @ theta."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.geometry.convention import checked_points


def affine_basis(points: ArrayLike) -> NDArray[np.float64]:
    """Constant factor of the affine grid: ``source = affine_basis(target) @ theta``.

    Convention: normalised (x, y); theta (3, 2) holds the coefficients of x, of y and the translation, that
    is, the transpose of the paper's 2 x 3 matrix.
    Args:
        points: (P, 2) target points.
    Returns:
        (P, 3), float64: x, y, 1.
    Source: Jaderberg et al. 2015, equation 1.
    """
    target = checked_points(points).astype(np.float64).reshape(-1, 2)
    return np.concatenate([target, np.ones((len(target), 1))], axis=1)


def affine_identity() -> NDArray[np.float64]:
    """The theta (3, 2) of the affine transform that changes nothing."""
    return np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
