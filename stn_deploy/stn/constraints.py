"""Constraints on theta, as modules theta -> theta: an unconstrained theta explodes early in training.

Each is smooth, leaves the identity where it is and hardly changes what is close to it; any other theta, also
one at which a network starts, comes out nearer to the identity. ``nn.Sequential`` joins several.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry import MatrixTransform, Transform
from stn_deploy.stn.checks import check_theta
from stn_deploy.stn.constants import Constants

_TINY = 1e-12


class _BoundedEntries(nn.Module):
    """Some entries of theta, kept within ``limit`` of the identity."""

    def __init__(self, transform: Transform, entries: NDArray[np.bool_], limit: float, what: str) -> None:
        super().__init__()
        if not 0 < limit < math.inf:
            raise ArgumentError(f"limit: expected a number above 0, got {limit}")
        if not entries.any():
            raise ArgumentError(f"transform: expected one with a {what} of its own, got {transform!r}")
        self.transform, self.limit = transform, limit
        self.constants = Constants({"identity": transform.identity, "entries": entries.astype(np.float64)})

    def forward(self, theta: Tensor) -> Tensor:
        """theta (n, p), bounded."""
        identity = self.constants.get_buffer("identity")
        check_theta(theta, self.transform.parameters, self.transform.name, identity)
        wide = theta.to(identity.dtype)
        moved = identity + self.limit * torch.tanh((wide - identity) / self.limit)
        return torch.where(self.constants.get_buffer("entries") > 0, moved, wide)


class BoundedDisplacement(_BoundedEntries):
    """Keeps translations, or the control points of a spline, within a distance of their identity.

    Each coordinate d becomes limit * tanh(d / limit).
    """

    def __init__(self, transform: Transform, limit: float) -> None:
        """For one transform.

        Args:
            transform: of the theta, with entries that only move points.
            limit: largest displacement of each coordinate, normalised: 2 is the whole width or height.
        Raises:
            ArgumentError: a limit not above 0, or a transform without such entries.
        """
        super().__init__(transform, transform.displacements, limit, "displacement")


class BoundedPerspective(_BoundedEntries):
    """Keeps the horizon of a projective transform out of V: the divisor stays in [1 - limit, 1 + limit]."""

    def __init__(self, transform: MatrixTransform, limit: float = 0.5) -> None:
        """For one transform.

        Args:
            transform: a projective one, whose divisor row holds 0 or parameters that stand nowhere else.
            limit: in (0, 1); at 0.5 the divisor of one corner of V is at most three times that of another.
        Raises:
            ArgumentError: a limit out of its range, or a transform without perspective or with another row.
        """
        if not 0 < limit < 1:
            raise ArgumentError(f"limit: expected a number in (0, 1), got {limit}")
        entries = _matrix("BoundedPerspective", transform).perspectives
        if not entries.any():
            raise ArgumentError(f"transform: expected one with perspective, got {transform!r}")
        fixed = transform.offset.reshape(transform.shape)[-1, :-1]
        divisor = np.abs(transform.expansion.reshape(-1, *transform.shape)[:, -1, :-1])
        if fixed.any() or divisor[~entries].any():
            raise ArgumentError(
                "transform: expected a divisor row of 0 and parameters that stand nowhere else, "
                f"got {transform!r}"
            )
        super().__init__(transform, entries, limit / divisor.sum(), "perspective")


class BoundedScale(nn.Module):
    """Keeps the mean scale of a matrix transform between two bounds, and its directions as they are.

    The mean scale is the root of the mean squared singular value: the size of s for attention,
    the length of (a, b) for a similarity. Its logarithm is squashed by tanh on either side of 0. A theta
    whose scale is below 1e-6 has no direction any more; it stays small instead of being blown up.
    """

    def __init__(self, transform: MatrixTransform, lowest: float, highest: float) -> None:
        """For one transform.

        Args:
            transform: a matrix transform with a scale among its parameters.
            lowest: in (0, 1): how far V may zoom in; 0.5 is half the width of U.
            highest: above 1: how far V may zoom out.
        Raises:
            ArgumentError: bounds out of their range, or a transform without a scale.
        """
        super().__init__()
        if not (0 < lowest < 1 < highest < math.inf):
            raise ArgumentError(
                f"lowest, highest: expected 0 < lowest < 1 < highest, got {lowest} and {highest}"
            )
        self.transform = _matrix("BoundedScale", transform)
        # Measured on the entries that may change, so that the identity has a mean scale of 1.
        share = float(transform.scale_weights @ transform.identity**2)
        if not share:
            raise ArgumentError(
                f"transform: expected one with a scale among its parameters, got {transform!r}"
            )
        self.limits = (-math.log(lowest), math.log(highest))
        self.constants = Constants({"weights": transform.scale_weights / share})

    def forward(self, theta: Tensor) -> Tensor:
        """theta (n, p), bounded."""
        weights = self.constants.get_buffer("weights")
        check_theta(theta, self.transform.parameters, self.transform.name, weights)
        wide = theta.to(weights.dtype)
        # Measured on entries of at most 1, for the squares of very large ones would overflow.
        largest = torch.where(weights > 0, wide.detach().abs(), 0).amax(dim=1, keepdim=True).clamp(min=1)
        small = wide / largest
        log_small = 0.5 * torch.log((small * small * weights).sum(dim=1, keepdim=True) + _TINY)
        log_scale = log_small + torch.log(largest)
        low, high = self.limits
        above = high * torch.tanh(log_scale.clamp(min=0) / high)
        below = low * torch.tanh(log_scale.clamp(max=0) / low)
        return torch.where(weights > 0, small * torch.exp(above + below - log_small), wide)


def _matrix(name: str, transform: Transform) -> MatrixTransform:
    if not isinstance(transform, MatrixTransform):
        raise ArgumentError(
            f"transform: expected a matrix transform for {name}, got {transform!r}; "
            "control points are bounded by BoundedDisplacement"
        )
    return transform
