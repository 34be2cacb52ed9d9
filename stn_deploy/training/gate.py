"""From the shape of a text line to theta and score, in torch operators that every engine has.

The localisation network predicts a text line as two polynomials in t, which runs over [-1, 1] along the
line: the midline, and the half height (the vector from the midline to the bottom edge). A midline of degree
five and a quadratic height hold arcs past a half circle and waves of a whole period, and cannot wiggle beyond
that. Both are sums of Legendre polynomials, whose coefficients matter about equally for where the points are.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.polynomial.legendre import leg2poly
from torch import Tensor

from stn_deploy.artifact.spec import GATE

MIDLINE = 6
"""Coefficients of the midline per coordinate: Legendre polynomials of degree 0 to 5."""
HALF_HEIGHT = 3
"""Coefficients of the half height per coordinate: degree 0 to 2."""

TILT_LIMIT, SAG_LIMIT, TAPER_LIMIT = math.radians(GATE["tilt_degrees"]), GATE["sag"], GATE["taper"]
_LONGEST_EXTENSION = 0.5
_TINY = 1e-6


def identity_coefficients() -> Tensor:
    """(9, 2): the text line that fills the whole image."""
    coefficients = torch.zeros(MIDLINE + HALF_HEIGHT, 2)
    coefficients[1, 0] = 1.0  # x = t
    coefficients[MIDLINE, 1] = 1.0  # the bottom edge is half an image below the middle
    return coefficients


def edge_points(coefficients: Tensor, count: int, extension: Tensor | None = None) -> Tensor:
    """Control points along the top and bottom edges of text lines.

    Args:
        coefficients: (n, 9, 2), normalised.
        count: K, even.
        extension: (n,), how far past each end of the line the points reach, in units of t; None for 0.
    Returns:
        (n, K, 2): K/2 points along the top edge, then K/2 along the bottom edge.
    """
    t = torch.linspace(-1, 1, count // 2, device=coefficients.device).reshape(1, -1, 1)
    if extension is not None:
        t = t * (1 + extension[:, None, None])
    basis = _legendre(t).to(coefficients.dtype)
    middle = basis @ coefficients[:, :MIDLINE]
    half = basis[:, :, :HALF_HEIGHT] @ coefficients[:, MIDLINE:]
    return torch.cat([middle - half, middle + half], dim=1)


def _legendre(t: Tensor) -> Tensor:
    """Legendre polynomials of degree 0 to 5 of t (n, points, 1): (n, points, 6).

    Beyond [-1, 1], where they would soar, each goes on straight; its slope at 1 is degree * (degree + 1) / 2.
    """
    inside = t.clamp(-1, 1)
    beyond = t - inside
    square = inside * inside
    cube = square * inside
    powers = [torch.ones_like(t), inside, square, cube, square * square, square * cube]
    return torch.cat([*powers, beyond, beyond * inside], dim=2) @ _FROM_POWERS.to(t)


def _from_powers() -> Tensor:
    """(8, 6): of x^0 to x^5, of what lies beyond for the odd degrees, and for the even ones, times x."""
    identity = np.eye(MIDLINE)
    powers = np.stack(
        [np.pad(leg2poly(row), (0, MIDLINE - 1 - degree)) for degree, row in enumerate(identity)]
    )
    slopes = np.array([degree * (degree + 1) / 2 for degree in range(MIDLINE)])
    odd = np.arange(MIDLINE) % 2 == 1
    return torch.from_numpy(np.vstack([powers.T, slopes * odd, slopes * ~odd])).float()


_FROM_POWERS = _from_powers()


def with_margin(coefficients: Tensor, points: Tensor, sizes: Tensor, margin: float) -> Tensor:
    """Control points of the text line enlarged by a margin on all four sides: theta.

    Args:
        coefficients: (n, 9, 2), normalised.
        points: (n, K, 2), their control points without margin, normalised.
        sizes: (n, 2), height and width of the images, pixels.
        margin: text heights.
    Returns:
        (n, K, 2), normalised; they may lie outside the image.
    """
    extension = extension_of(*height_and_length(points, sizes), margin)
    midline, half = coefficients[:, :MIDLINE], coefficients[:, MIDLINE:]
    larger = torch.cat([midline, half * (1 + 2 * margin)], dim=1)
    return edge_points(larger, points.shape[1], extension)


def extension_of(height: Tensor, length: Tensor, margin: float) -> Tensor:
    """How far a margin, in text heights, reaches past each end of text lines, (n,), in units of t."""
    return (2 * margin * height / length.clamp(min=_TINY)).clamp(max=_LONGEST_EXTENSION)


def gate_score(
    points: Tensor,
    sizes: Tensor,
    *,
    tilt_limit: float = TILT_LIMIT,
    sag_limit: float = SAG_LIMIT,
    taper_limit: float = TAPER_LIMIT,
    short: float = GATE["short"],
    long: float = GATE["long"],
) -> Tensor:
    """Whether rectification helps, from the geometry of the text line: 0.5 at the limit of any measure.

    ``r / (1 + r)``, where r is the largest of three measures over their limits: tilt (tangent of half the
    chord's angle; half, so that it grows up to upside down), sag (largest distance of the midline from its
    chord, over the text height) and taper (how much higher one end of the text is than the other). The tilt
    of a text that is hardly longer than high is hard to tell and does little harm: it counts in proportion to
    the length. The sag of a long one counts in inverse proportion, as an angle would.

    Args:
        points: (n, K, 2), control points without margin, normalised.
        sizes: (n, 2), height and width of the images, pixels.
        tilt_limit: radians. sag_limit: text heights. taper_limit: relative.
        short: text heights; from this length on the tilt counts in full. 0: always.
        long: text heights; up to this length the sag counts in full. Infinity: always.
    Returns:
        (n,), in [0, 1].
    """
    middle = _midline_pixels(points, sizes)
    height, length = height_and_length(points, sizes)
    chord = middle[:, -1] - middle[:, 0]
    offset = middle - middle[:, :1]
    across = (chord[:, None, 0] * offset[:, :, 1] - chord[:, None, 1] * offset[:, :, 0]).abs()
    chord_length = _norm(chord).clamp(min=_TINY)
    sag = across.amax(dim=1) / (chord_length * height.clamp(min=_TINY))
    # |dy| / (|chord| + dx) is tan(angle / 2); for a chord that runs straight back it would be 0 / 0.
    rise = chord[:, 1].abs() + (-chord[:, 0]).clamp(min=0)
    tilt = rise / (chord_length + chord[:, 0]).clamp(min=_TINY) / math.tan(tilt_limit / 2)
    heights = _norm(_vertical(points, sizes)[:, :: points.shape[1] // 2 - 1]).clamp(min=_TINY)
    relative = length / height.clamp(min=_TINY)
    if short:
        tilt = tilt * (relative / short).clamp(max=1)
    if math.isfinite(long):
        sag = sag / (relative / long).clamp(min=1)
    taper = heights.amax(dim=1) / heights.amin(dim=1) - 1
    ratio = torch.maximum(torch.maximum(tilt, sag / sag_limit), taper / taper_limit)
    return ratio / (1 + ratio)


def _norm(vectors: Tensor) -> Tensor:
    """Lengths of vectors, which lie along the last axis."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return lengths


def _midline_pixels(points: Tensor, sizes: Tensor) -> Tensor:
    half = points.shape[1] // 2
    return (points[:, :half] + points[:, half:]) / 2 * (sizes.flip(1)[:, None] / 2)


def _vertical(points: Tensor, sizes: Tensor) -> Tensor:
    """Vectors from the top to the bottom edge, (n, K/2, 2), pixels."""
    half = points.shape[1] // 2
    return (points[:, half:] - points[:, :half]) * (sizes.flip(1)[:, None] / 2)


def height_and_length(points: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean height and arc length of text lines, pixels, each (n,)."""
    vertical = _vertical(points, sizes)
    steps = _midline_pixels(points, sizes)
    steps = steps[:, 1:] - steps[:, :-1]
    height = _norm(vertical).mean(dim=1)
    return height, _norm(steps).sum(dim=1)
