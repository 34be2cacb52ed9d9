"""Every transform of the paper, and thetas for it that are no special case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.geometry import (
    AFFINE,
    AFFINE_3D,
    ATTENTION,
    PROJECTIVE,
    SIMILARITY,
    MatrixTransform,
    ThinPlateSpline,
    Transform,
)

if TYPE_CHECKING:
    from torch import Tensor

MATRICES: dict[str, MatrixTransform] = {
    "affine": AFFINE,
    "attention": ATTENTION,
    "similarity": SIMILARITY,
    "projective": PROJECTIVE,
    "affine 3-D": AFFINE_3D,
}
SPLINES: dict[str, ThinPlateSpline] = {
    "spline on edges": ThinPlateSpline.on_edges(10),
    "spline on lattice": ThinPlateSpline.on_lattice(),
}
TRANSFORMS: dict[str, Transform] = {**MATRICES, **SPLINES}
PLANE: dict[str, Transform] = {name: each for name, each in TRANSFORMS.items() if each.dimensions == 2}


def random_theta(
    transform: Transform, *leading: int, seed: int = 0, spread: float = 0.3
) -> NDArray[np.float64]:
    """Thetas (*leading, p) around the identity that float32 holds exactly.

    The divisor of a projective map stays at 0.4 or more on V.
    """
    offsets = np.random.default_rng(seed).uniform(-spread, spread, (*leading, transform.parameters))
    return np.asarray((transform.identity + offsets).astype(np.float32), np.float64)


def theta_of_affine(transform: Transform, matrix: ArrayLike) -> NDArray[np.float64]:
    """theta (p,) with which a transform is the affine map of a matrix (rows, columns) of equation 1."""
    affine = np.asarray(matrix, np.float64)
    if isinstance(transform, ThinPlateSpline):
        return np.asarray(transform.control_targets @ affine[:, :-1].T + affine[:, -1]).reshape(-1)
    assert isinstance(transform, MatrixTransform)
    last = np.eye(affine.shape[1])[-1:]
    return transform.theta(np.concatenate([affine, last]) if transform.homogeneous else affine)


def as_batch(theta: ArrayLike) -> Tensor:
    """theta (p,) or (n, p) as a float32 tensor (n, p)."""
    import torch

    array = np.asarray(theta, np.float32)
    return torch.tensor(array.reshape(-1, array.shape[-1]))
