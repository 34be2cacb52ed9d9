"""How wrong predicted control points are, in text heights, and how unlike a line of text."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_TINY = 1e-6
_SMALLEST = 0.3
"""Of the mean height: where a text is lower still, an error counts no more."""


def _pixels(points: Tensor, sizes: Tensor) -> Tensor:
    return points * (sizes.flip(1)[:, None] / 2)


def _heights(truth: Tensor) -> tuple[Tensor, Tensor]:
    """Height of the text at each pair of points (n, K, 2), pixels: (n, K/2, 1); and its mean, (n, 1, 1)."""
    half = truth.shape[1] // 2
    own: Tensor = torch.linalg.vector_norm(truth[:, half:] - truth[:, :half], dim=2, keepdim=True)
    return own, own.mean(dim=1, keepdim=True).clamp(min=_TINY)


def point_loss(points: Tensor, truth: Tensor, sizes: Tensor, *, along_weight: float, beta: float) -> Tensor:
    """Robust distance of control points, split across and along the line, in heights of the text there.

    In perspective one end of a word may be a quarter as high as the other, and its letters need as much care:
    each distance is over the height at its own point. An error across the line cuts letters off at the top;
    an error along it only stretches them, except at the ends, where it cuts whole letters: the end points
    count in full in both directions.

    Args:
        points, truth: (n, K, 2), normalised.
        sizes: (n, 2), height and width of the crops, pixels.
        along_weight: weight of the error along the line, away from the ends.
        beta: text heights; below it the loss is quadratic.
    Returns:
        scalar.
    """
    target = _pixels(truth, sizes)
    half = truth.shape[1] // 2
    own, mean = _heights(target)
    heights = torch.maximum(own, _SMALLEST * mean).repeat(1, 2, 1)
    error = (_pixels(points, sizes) - target) / heights
    middle = (target[:, :half] + target[:, half:]) / 2
    reach = 2 if half > 2 else 1
    tangent = middle[:, reach:] - middle[:, :-reach]
    # Ends take the tangent of their neighbours.
    tangent = F.pad(tangent.transpose(1, 2), (reach - 1, 1), mode="replicate").transpose(1, 2)
    tangent = F.normalize(tangent, dim=2).repeat(1, 2, 1)
    along = (error * tangent).sum(dim=2)
    across = error[:, :, 0] * tangent[:, :, 1] - error[:, :, 1] * tangent[:, :, 0]
    weight = along.new_full((truth.shape[1],), along_weight)
    weight[[0, half - 1, half, -1]] = 1.0
    zero = along.new_zeros(())
    across_loss = F.smooth_l1_loss(across, zero.expand_as(across), beta=beta)
    along_loss = F.smooth_l1_loss(along, zero.expand_as(along), beta=beta, reduction="none")
    return across_loss + (along_loss * weight).mean()


def point_error(points: Tensor, truth: Tensor, sizes: Tensor) -> Tensor:
    """Mean distance of control points for each picture, (n,), in text heights; the reported figure."""
    target = _pixels(truth, sizes)
    error = (_pixels(points, sizes) - target) / _heights(target)[1]
    distance: Tensor = torch.linalg.vector_norm(error, dim=2)
    return distance.mean(dim=1)


def bending_energy(points: Tensor, sizes: Tensor) -> Tensor:
    """How much text lines bend: mean squared second difference of both edges, over the step along the line.

    Zero for straight lines with evenly spaced points, however turned, tilted or squeezed.

    Args:
        points: (n, K, 2), normalised; K at least 6.
        sizes: (n, 2), height and width of the crops, pixels.
    Returns:
        (n,), dimensionless: about the squared turn of the line between two neighbouring points, radians.
    Source: the bending energy of thin-plate splines (Bookstein 1989), in one dimension.
    """
    edges = _pixels(points, sizes).unflatten(1, (2, -1))
    steps = edges[:, :, 1:] - edges[:, :, :-1]
    bends = steps[:, :, 1:] - steps[:, :, :-1]
    length = torch.linalg.vector_norm(steps, dim=3).mean(dim=(1, 2)).clamp(min=_TINY)
    energy: Tensor = (bends * bends).sum(dim=3).mean(dim=(1, 2)) / length.square()
    return energy


def foldover(points: Tensor, sizes: Tensor, *, smallest: float = 0.1) -> Tensor:
    """How far text lines are folded over: a fold maps two places of the output to one of the image.

    The control points cut the text into K/2 - 1 cells; of a sane line each has its corners clockwise, and
    about the same area. The penalty is how far the areas fall below a part of the mean cell.

    Args:
        points: (n, K, 2), normalised.
        sizes: (n, 2), height and width of the crops, pixels.
        smallest: area from which on a cell costs nothing, as a part of the mean absolute area.
    Returns:
        (n,), zero where nothing is folded.
    """
    top, bottom = _pixels(points, sizes).unflatten(1, (2, -1)).unbind(dim=1)
    falling, rising = bottom[:, 1:] - top[:, :-1], bottom[:, :-1] - top[:, 1:]
    areas = (falling[..., 0] * rising[..., 1] - falling[..., 1] * rising[..., 0]) / 2
    relative = areas / areas.abs().mean(dim=1, keepdim=True).clamp(min=_TINY)
    penalty: Tensor = F.relu(smallest - relative).mean(dim=1)
    return penalty
