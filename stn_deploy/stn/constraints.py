"""Constraints on theta, as modules theta -> theta: an unconstrained theta explodes early in training.

Each is smooth, leaves the identity where it is and hardly changes what is close to it; ``nn.Sequential`` puts
several one after another.
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


class BoundedDisplacement(nn.Module):
    """Keeps translations, or the control points of a spline, within a distance of their identity.

    Each coordinate d becomes limit * tanh(d / limit).
    """

    def __init__(self, transform: Transform, limit: float) -> None:
        """For one transform.

        Args:
            limit: largest displacement of each coordinate, normalised: 2 is the whole width or height.
        Raises:
            ArgumentError: a limit not above 0, or a transform in which nothing but other things moves points.
        """
        super().__init__()
        self.bounded = _BoundedEntries(transform, transform.displacements, limit, "displacement")

    def forward(self, theta: Tensor) -> Tensor:
        """theta (n, p), bounded."""
        bounded: Tensor = self.bounded(theta)
        return bounded


class BoundedPerspective(nn.Module):
    """Keeps the horizon of a projective transform out of V: the divisor stays in [1 - limit, 1 + limit]."""

    def __init__(self, transform: MatrixTransform, limit: float = 0.5) -> None:
        """For one transform.

        Args:
            limit: in (0, 1); at 0.5 one corner of V is magnified at most three times as much as another.
        Raises:
            ArgumentError: a limit out of its range, or a transform without perspective.
        """
        super().__init__()
        if not 0 < limit < 1:
            raise ArgumentError(f"limit: expected a number in (0, 1), got {limit}")
        entries = _matrix("BoundedPerspective", transform).perspectives
        share = limit / max(int(entries.sum()), 1)
        self.bounded = _BoundedEntries(transform, entries, share, "perspective")

    def forward(self, theta: Tensor) -> Tensor:
        """theta (n, p), bounded."""
        bounded: Tensor = self.bounded(theta)
        return bounded


class BoundedScale(nn.Module):
    """Keeps the mean scale of a matrix transform between two bounds, and its directions as they are.

    The mean scale is the root of the mean squared singular value: the size of s for attention,
    the length of (a, b) for a similarity. Its logarithm is squashed by tanh on either side of 0. A theta
    whose scale is below 1e-6 has no direction any more; it stays small instead of being blown up.
    """

    def __init__(self, transform: MatrixTransform, lowest: float, highest: float) -> None:
        """For one transform.

        Args:
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
        if not transform.scale_weights.any():
            raise ArgumentError(
                f"transform: expected one with a scale among its parameters, got {transform!r}"
            )
        self.limits = (-math.log(lowest), math.log(highest))
        # Measured on the entries that may change, so that the identity has a mean scale of 1.
        share = transform.scale_weights @ transform.identity**2
        weights = transform.scale_weights / (share or 1)
        self.constants = Constants({"weights": weights})

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
        identity = self.constants.get_buffer("identity")
        check_theta(theta, self.transform.parameters, self.transform.name, identity)
        wide = theta.to(identity.dtype)
        moved = identity + self.limit * torch.tanh((wide - identity) / self.limit)
        return torch.where(self.constants.get_buffer("entries") > 0, moved, wide)


def _matrix(name: str, transform: Transform) -> MatrixTransform:
    if not isinstance(transform, MatrixTransform):
        raise ArgumentError(
            f"transform: expected a matrix transform for {name}, got {transform!r}; "
            "control points are bounded by BoundedDisplacement"
        )
    return transform
