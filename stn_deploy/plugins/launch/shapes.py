"""Which shapes go together, whatever holds the numbers: arrays of CuPy, tensors of torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry.sampling import MODES, PADDINGS, check_choice
from stn_deploy.plugins.launch.plan import Lengths

Shape = Sequence[int]
_Size = TypeVar("_Size", bound=int)


def check_settings(axes: int, mode: str, padding: str, **switches: bool) -> None:
    """Refuse settings that the kernels do not know.

    Args:
        axes: 2 or 3.
        switches: what must be True or False, by name.
    Raises:
        ArgumentError: an unknown mode or padding, or a switch of another type.
    """
    check_choice("mode", mode, MODES[axes])
    check_choice("padding", padding, PADDINGS)
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ArgumentError(f"{name}: expected True or False, got {value!r}")


def checked_source(source: Shape) -> int:
    """Number of axes of U, 2 or 3.

    Raises:
        ShapeError: it is not (n, c, H, W) or (n, c, D, H, W), or has no pixels.
    """
    if len(source) not in (4, 5):
        raise ShapeError(f"source: expected (n, c, H, W) or (n, c, D, H, W), got {tuple(source)}")
    if 0 in source[2:]:
        raise ShapeError(f"source: expected at least 1 pixel in each direction, got {tuple(source)}")
    return len(source) - 2


def checked_output_size(output_size: Sequence[_Size], axes: int) -> tuple[_Size, ...]:
    """Height and width of V, or depth, height and width.

    Raises:
        ShapeError: another number of lengths, or one below 0.
    """
    try:
        sizes = tuple(output_size)
    except TypeError as error:
        raise ArgumentError(f"output_size: expected {axes} whole numbers, got {output_size!r}") from error
    if len(sizes) != axes or any(size < 0 for size in sizes):
        raise ShapeError(f"output_size: expected {axes} lengths of at least 0, got {output_size!r}")
    return sizes


def fused_lengths(
    source: Shape,
    basis: Shape,
    theta: Shape,
    extents: Shape | None,
    output_size: Sequence[int],
    homogeneous: bool,
) -> Lengths:
    """Lengths of the operation on a theta.

    Raises:
        ShapeError: shapes that do not go together.
    """
    axes, points = len(source) - 2, math.prod(output_size)
    if len(basis) != 2 or basis[0] != points or basis[1] < 1:
        raise ShapeError(
            f"basis: expected ({points}, K), a row for each pixel of an output {tuple(output_size)}, "
            f"got {tuple(basis)}"
        )
    columns = axes + homogeneous
    wanted = (source[0], basis[1], columns)
    if tuple(theta) != wanted:
        raise ShapeError(
            f"theta: expected {wanted}, (n, K, {columns}) of this source and basis"
            f"{', homogeneous' if homogeneous else ''}, got {tuple(theta)}"
        )
    if extents is not None and tuple(extents) != (source[0], axes):
        order = "(height, width)" if axes == 2 else "(depth, height, width)"
        raise ShapeError(f"extents: expected {(source[0], axes)}, {order} of each, got {tuple(extents)}")
    return _lengths(source, basis[1], points)


def given_lengths(source: Shape, grid: Shape) -> Lengths:
    """Lengths of the operation on a grid.

    Raises:
        ShapeError: shapes that do not go together.
    """
    axes = len(source) - 2
    if len(grid) != axes + 2 or grid[-1] != axes:
        letters = ("n, h, w, 2", "n, d, h, w, 3")[axes - 2]
        raise ShapeError(f"grid: expected ({letters}) for a source {tuple(source)}, got {tuple(grid)}")
    if grid[0] != source[0]:
        raise ShapeError(
            f"grid: expected a batch of {source[0]} like source, got {grid[0]}; repeat the smaller one"
        )
    return _lengths(source, 0, math.prod(grid[1:-1]))


def _lengths(source: Shape, k: int, points: int) -> Lengths:
    n, c, *space = source
    depth, height, width = space if len(space) == 3 else (1, *space)
    return Lengths(n, c, depth, height, width, k, points)
