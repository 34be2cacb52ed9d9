"""The sampler as the paper writes it, in NumPy: slow, readable, with its gradients. What the fast one obeys.

Equation 3 sums over all pixels of U; here U goes on past its edges as the padding says:

    V_i = sum_n sum_m  U_nm  k(x_i - m)  k(y_i - n)

Convention: x_i and y_i count pixel centres, ``(normalised + 1) * size / 2 - 0.5``. A position that is not
finite samples as 0 and has no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ShapeError
from stn_deploy.geometry.sampling import MODES, PADDINGS, check_choice

Array = NDArray[np.float64]
Kernel = Callable[[Array], Array]


def nearest_kernel(distance: Array) -> Array:
    """Equation 4: 1 for the m with floor(x + 0.5) = m, else 0. ``distance``: x - m."""
    return np.asarray((distance >= -0.5) & (distance < 0.5), np.float64)


def nearest_slope(distance: Array) -> Array:
    """The kernel is flat wherever it has a derivative."""
    return np.zeros_like(distance)


def linear_kernel(distance: Array) -> Array:
    """Equation 5: one less the distance, never below 0. ``distance``: x - m."""
    return np.maximum(0.0, 1.0 - np.abs(distance))


def linear_slope(distance: Array) -> Array:
    """Equation 7: +1 within a pixel to the left of m, -1 within a pixel to its right. ``distance``: x - m.

    Where x is whole the kernel has a kink. The equation as printed then counts one pixel alone, which is the
    slope of neither side; here, as in torch, it is the slope to the right. (On the first pixel centre of U
    with border or reflection padding torch says 0, the slope to the left.)
    """
    rising = (distance >= -1) & (distance < 0)
    falling = (distance >= 0) & (distance < 1)
    return np.asarray(rising, np.float64) - falling


def cubic_kernel(distance: Array) -> Array:
    """Keys 1981, Cubic Convolution Interpolation, equation 4 with a = -0.75. ``distance``: x - m."""
    a, s = -0.75, np.abs(distance)
    near = (a + 2) * s**3 - (a + 3) * s**2 + 1
    far = a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a
    return np.where(s <= 1, near, np.where(s < 2, far, 0.0))


def cubic_slope(distance: Array) -> Array:
    """Derivative of `cubic_kernel`."""
    a, s = -0.75, np.abs(distance)
    near = 3 * (a + 2) * s**2 - 2 * (a + 3) * s
    far = 3 * a * s**2 - 10 * a * s + 8 * a
    return np.asarray(np.sign(distance) * np.where(s <= 1, near, np.where(s < 2, far, 0.0)))


KERNELS: dict[str, tuple[Kernel, Kernel]] = {
    "nearest": (nearest_kernel, nearest_slope),
    "bilinear": (linear_kernel, linear_slope),
    "trilinear": (linear_kernel, linear_slope),
    "bicubic": (cubic_kernel, cubic_slope),
}


def reference_sample(
    source: ArrayLike, grid: ArrayLike, *, mode: str = "bilinear", padding: str = "border"
) -> Array:
    """V of U at the positions of a grid.

    Args:
        source: U, (n, c, H, W) or (n, c, D, H, W).
        grid: (n, h, w, 2) or (n, d, h, w, 3), normalised.
        mode: nearest, bilinear, bicubic or trilinear. padding: border, zeros or reflection.
    Returns:
        V, (n, c, h, w) or (n, c, d, h, w), float64.
    Raises:
        ShapeError: arrays that do not fit together.
        ArgumentError: an unknown mode or padding.
    Source: Jaderberg et al. 2015, equation 3.
    """
    u, positions = _checked(source, grid, mode, padding)
    kernel, _ = KERNELS[mode]
    sampled = np.zeros((*u.shape[:2], positions.shape[1]))
    for index, (item, points) in enumerate(zip(u, positions, strict=True)):
        weights = [_weights(x, length, kernel, padding) for x, length in _along_axes(points, item)]
        sampled[index] = _contract(item, weights)
    return sampled.reshape(*u.shape[:2], *np.shape(grid)[1:-1])


def reference_gradients(
    source: ArrayLike,
    grid: ArrayLike,
    gradient: ArrayLike,
    *,
    mode: str = "bilinear",
    padding: str = "border",
) -> tuple[Array, Array]:
    """Gradients of a loss with respect to U and to the grid.

    Args:
        source, grid, mode, padding: as for `reference_sample`.
        gradient: of the loss with respect to V, in the shape of V.
    Returns:
        the gradients in the shapes of ``source`` and ``grid``, float64.
    Raises:
        ShapeError, ArgumentError: as `reference_sample`, or a gradient in another shape.
    Source: Jaderberg et al. 2015, equations 6 (with respect to U) and 7 (with respect to x, y alike).
    """
    u, positions = _checked(source, grid, mode, padding)
    kernel, slope = KERNELS[mode]
    upstream = np.asarray(gradient, np.float64)
    expected = (*u.shape[:2], *np.shape(grid)[1:-1])
    if upstream.shape != expected:
        raise ShapeError(f"gradient: expected {expected} like V, got {upstream.shape}")
    upstream = upstream.reshape(*u.shape[:2], positions.shape[1])
    source_gradient, grid_gradient = np.zeros_like(u), np.zeros_like(positions)
    for index, (item, points) in enumerate(zip(u, positions, strict=True)):
        axes = _along_axes(points, item)
        weights = [_weights(x, length, kernel, padding) for x, length in axes]
        # Equation 6: what a pixel gave to V, it gets back with the same weight.
        source_gradient[index] = _spread(upstream[index], weights)
        for axis, (x, length) in enumerate(axes):
            # Equation 7: one kernel gives way to its slope; d x / d normalised is half the size.
            sloped = [*weights[:axis], _weights(x, length, slope, padding), *weights[axis + 1 :]]
            moved = _contract(item, sloped) * length / 2
            grid_gradient[index, :, len(axes) - 1 - axis] = (upstream[index] * moved).sum(axis=0)
    return source_gradient, grid_gradient.reshape(np.shape(grid))


def _checked(source: ArrayLike, grid: ArrayLike, mode: str, padding: str) -> tuple[Array, Array]:
    """U, and the grid as (n, P, dimensions)."""
    u, positions = np.asarray(source, np.float64), np.asarray(grid, np.float64)
    dimensions = u.ndim - 2
    fits = positions.ndim == u.ndim and (len(positions), positions.shape[-1]) == (len(u), dimensions)
    if dimensions not in MODES or not fits or 0 in u.shape[2:]:
        raise ShapeError(
            "source, grid: expected (n, c, H, W) and (n, h, w, 2), or one dimension more in both, "
            f"got {u.shape} and {positions.shape}"
        )
    check_choice("mode", mode, MODES[dimensions])
    check_choice("padding", padding, PADDINGS)
    # Beyond a million images no two neighbouring pixels could be told apart.
    near = np.where(np.isfinite(positions), positions.clip(-1e6, 1e6), positions)
    return u, near.reshape(len(u), math.prod(positions.shape[1:-1]), dimensions)


def _along_axes(points: Array, item: Array) -> list[tuple[Array, int]]:
    """Positions in pixels and the number of pixels, for each axis of U: (z,) y, x."""
    sizes = item.shape[1:]
    return [((points[:, -1 - axis] + 1) * size / 2 - 0.5, size) for axis, size in enumerate(sizes)]


def _weights(position: Array, length: int, function: Kernel, padding: str) -> Array:
    """(P, length): how much of each pixel along one axis goes into each of P positions."""
    weights = np.zeros((len(position), length))
    for point in np.flatnonzero(np.isfinite(position)):
        x = position[point]
        near = np.floor(x) + np.arange(-1, 3)  # no kernel reaches further
        for m, weight in zip(near, function(x - near), strict=True):
            pixel = _pixel(int(m), length, padding)
            if pixel is not None:
                weights[point, pixel] += weight
    return weights


def _pixel(m: int, length: int, padding: str) -> int | None:
    """Which pixel of U stands at place m, also past the edges; None for nothing."""
    if padding == "border":
        return min(max(m, 0), length - 1)
    if padding == "reflection":
        folded = m % (2 * length)
        return min(folded, 2 * length - 1 - folded)
    return m if 0 <= m < length else None


def _contract(item: Array, weights: list[Array]) -> Array:
    """(c, P): the sum over all pixels of U (c, ...), each times its weight along every axis."""
    if len(weights) == 2:
        return np.asarray(np.einsum("cyx,py,px->cp", item, *weights))
    return np.asarray(np.einsum("czyx,pz,py,px->cp", item, *weights))


def _spread(upstream: Array, weights: list[Array]) -> Array:
    """(c, ...): the transpose of `_contract`, of (c, P)."""
    if len(weights) == 2:
        return np.asarray(np.einsum("cp,py,px->cyx", upstream, *weights))
    return np.asarray(np.einsum("cp,pz,py,px->czyx", upstream, *weights))
