"""Kernels called on arrays, emulated on the host."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.emulation import FORWARD, emulate

PADDING = {"border": 0, "zeros": 1, "reflection": 2}
BYTES = {"f32": 4, "f16": 2, "bf16": 2}
THREADS, CHANNELS_PER_BLOCK = 128, 32
"""Twins of kThreads (and kPointsPerBlock) and kChannelsPerBlock in kernels/launch.h."""
GUARD = 64
"""Elements before and after each output, which no kernel may touch."""


@dataclass(frozen=True)
class Way:
    """A way to sample, and which kernel does it."""

    axes: int = 2
    mode: str = "linear"
    padding: str = "border"
    align_corners: bool = False
    element: str = "f32"
    channels_last: bool = False
    reference: bool = False

    def kernel(self, operation: str) -> str:
        """The name of the kernel."""
        parts = ["reference" * self.reference, operation, f"{self.axes}d", self.mode, self.element]
        return "_".join(filter(None, [*parts, "channels_last" * self.channels_last]))


@dataclass(frozen=True)
class Transform:
    """Where positions come from: basis (P, K) and theta (n, K, axes, + 1 if homogeneous), float32.

    extents: (n, axes), in the order of the canvas; None where images fill it.
    """

    basis: np.ndarray
    theta: np.ndarray
    extents: np.ndarray | None = None

    def points(self, axes: int) -> np.ndarray:
        """Positions (n, P, axes) in float64: what float32 sums are an approximation of."""
        with np.errstate(all="ignore"):
            rows = self.basis.astype(np.float64) @ self.theta.astype(np.float64)
            return rows if rows.shape[2] == axes else rows[..., :-1] / rows[..., -1:]

    def valid(self, canvas: Sequence[int]) -> np.ndarray:
        """(n, axes): pixels of each image that are its own, in the order of the canvas."""
        if self.extents is None:
            return np.tile(np.array(canvas), (len(self.theta), 1))
        return np.round(self.extents * np.array(canvas, np.float32)).astype(int)


def sample(
    way: Way,
    source: np.ndarray,
    points: Transform | np.ndarray,
    *,
    blocks: int | None = None,
    order: int = FORWARD,
) -> np.ndarray:
    """V (n, c, P) in float32, by a kernel.

    Args:
        source: (n, c, *canvas), float32; rounded to the type that the way asks for.
        points: basis and theta, or a grid (n, P, axes).
        blocks: of the launch; by default one for each image, tile and group of channels.
    """
    n, c = source.shape[:2]
    count = points.basis.shape[0] if isinstance(points, Transform) else points.shape[1]
    stored = stored_as(np.moveaxis(source, 1, -1) if way.channels_last else source, way.element)
    shape = (n, count, c) if way.channels_last else (n, c, count)
    whole = np.full(math.prod(shape) + 2 * GUARD, 77, stored.dtype)
    output = whole[GUARD:-GUARD]
    operation, inputs, integers = _arguments(way, source, points, count)
    arguments = [pointer(stored), *inputs, *integers, pointer(output)]
    emulate(way.kernel(operation), blocks or _blocks(n, c, count), THREADS, arguments, order=order)
    assert (whole[:GUARD] == 77).all(), "wrote before its output"
    assert (whole[-GUARD:] == 77).all(), "wrote past its output"
    found = restored(output.reshape(shape), way.element)
    return np.ascontiguousarray(np.moveaxis(found, -1, 1)) if way.channels_last else found


def gradients(
    way: Way,
    source: np.ndarray,
    points: Transform | np.ndarray,
    change: np.ndarray,
    *,
    of_source: bool = True,
    of_points: bool = True,
    before: float = 0.0,
    blocks: int | None = None,
    order: int = FORWARD,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Gradients for U, and for theta or the grid, of a loss whose gradient for V is ``change`` (n, c, P).

    before: what they hold before the launch.
    """
    n, c, count = change.shape
    stored, upstream = stored_as(source, way.element), stored_as(change, way.element)
    for_source = np.full(source.shape, before, np.float32) if of_source else None
    like = points.theta if isinstance(points, Transform) else points
    for_points = np.full(like.shape, before, np.float32) if of_points else None
    operation, inputs, integers = _arguments(way, source, points, count)
    results = [pointer(result) for result in (for_source, for_points)]
    arguments = [pointer(stored), *inputs, pointer(upstream), *integers, *results]
    emulate(
        way.kernel(f"{operation}_backward"), blocks or _blocks(n, c, count), THREADS, arguments, order=order
    )
    return for_source, for_points


def pointer(array: np.ndarray | None) -> ctypes.c_void_p:
    """Where an array lies, which must be as C has it; null for none."""
    assert array is None or array.flags.c_contiguous
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def part(shape: Sequence[int]) -> tuple[slice, ...]:
    """All channels, and of each axis the first so many pixels."""
    return (slice(None), *(slice(length) for length in shape))


def stored_as(values: np.ndarray, element: str) -> np.ndarray:
    """Values in one of the types of the kernels; bfloat16 as its bits, rounded to nearest even."""
    if element != "bf16":
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, np.float32 if element == "f32" else np.float16)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FFF, rounded).astype(np.uint16)


def restored(stored: np.ndarray, element: str) -> np.ndarray:
    """The same in float32."""
    if element != "bf16":
        return stored.astype(np.float32)
    return (stored.astype(np.uint32) << 16).view(np.float32)


def _blocks(n: int, c: int, count: int) -> int:
    return max(1, n * -(-c // CHANNELS_PER_BLOCK) * -(-count // THREADS))


def _arguments(
    way: Way, source: np.ndarray, points: Transform | np.ndarray, count: int
) -> tuple[str, list[Any], list[ctypes.c_int32]]:
    n, c, *canvas = source.shape
    sizes = [n, c, *((1, *canvas) if way.axes == 2 else canvas)]
    settings = [PADDING[way.padding], int(way.align_corners)]
    if isinstance(points, Transform):
        parts = [points.basis, points.theta, points.extents]
        kind = [points.basis.shape[1], count, *settings, int(points.theta.shape[2] > way.axes)]
        return (
            "theta_grid_sample",
            [_kept(part) for part in parts],
            [ctypes.c_int32(i) for i in (*sizes, *kind)],
        )
    integers = [ctypes.c_int32(i) for i in (*sizes, count, *settings)]
    return "grid_sample", [_kept(points)], integers


def _kept(array: np.ndarray | None) -> ctypes.c_void_p:
    assert array is None or array.dtype == np.float32
    return pointer(array)
