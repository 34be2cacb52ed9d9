"""Kinds of sampling by name: what every sampler here knows, in torch, in ONNX and on the CPU."""

from __future__ import annotations

from stn_deploy.errors import ArgumentError

MODES = {2: ("nearest", "bilinear", "bicubic"), 3: ("nearest", "trilinear")}
"""Interpolations, by number of dimensions."""
PADDINGS = ("border", "zeros", "reflection")
FAR = 1e6
"""Normalised positions are clamped to it, a million images away: beyond, they would overflow on the way to
pixels."""


def check_choice(name: str, choice: str, allowed: tuple[str, ...]) -> None:
    """Refuse what is not among ``allowed``.

    Raises:
        ArgumentError: it is not.
    """
    if choice not in allowed:
        raise ArgumentError(f"{name}: expected one of {', '.join(allowed)}, got {choice!r}")
