"""Grid generation on the CPU: theta -> the positions in the source that remap samples, at any width.

The spline of a line of text is smooth from its top to its bottom edge. So it is evaluated in a dozen rows,
and all rows of V are combinations of these, by weights that depend on the height of V alone. What these rows
make of the control points is tabled finely along V, once, so that a width that comes for the first time costs
a look-up. All products are small enough for BLAS to stay in the calling thread: its own
threads would wait for each other where many threads rectify.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache, partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.geometry import TextSpline, inset_control_points, target_points
from stn_deploy.geometry.convention import Size

Maps = tuple[NDArray[np.float32], "NDArray[np.float32] | None"]
"""Positions as remap takes them: x and y interleaved (h, w, 2) and None, or (h, w) each."""
PLAIN_SPLINE = TextSpline()
ROW_ERROR = 4e-5
"""Of an entry of the basis. Where a control point is displaced by 100 pixels, a sample is off by 0.004."""
_NODES = (12, 16, 24, 32, 48)
"""Rows in which the spline is evaluated: the fewest that keep within the error."""
_BETWEEN = 6
"""Positions along V, for each control point, at which the weights are fitted: on it, where the spline is
least smooth, and up to the next one."""
_FIRM, _RCOND = 30.0, 1e-6
"""How much constants and slopes count in the fit, and what of it is left to rounding: weights stay small."""
_TABLED = 2049
"""Positions along V in the table, which is read linearly between them."""
_BASES_BYTES = 16_000_000
_ONE_THREAD = 1 << 18
"""Multiplications in a product up to which OpenBLAS takes one thread."""


def source_grid(
    controls: NDArray[np.float32], size: Size, *, spline: TextSpline = PLAIN_SPLINE
) -> NDArray[np.float32]:
    """Source coordinates of each sample of V.

    Args:
        controls: (K, 2) control points; the grid comes in their units.
        size: height and width of V, pixels.
        spline: of V; by default the plain one with its control points on the edges.
    Returns:
        (h, w, 2) float32.
    """
    height, width = size
    weights = _weights(spline, len(controls), height)
    if weights is None:
        basis = _bases((spline, len(controls), size), partial(_whole_basis, spline, len(controls), size))
        return _product(basis, controls).reshape(height, width, 2)
    rows = weights.shape[1]
    read = partial(_basis_of_rows, spline, len(controls), rows, width)
    known = _product(_bases((spline, len(controls), rows, width), read), controls)
    return _across(weights, known.reshape(rows, 2 * width)).reshape(height, width, 2)


def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """left @ right, some rows at a time."""
    step = max(_ONE_THREAD // right.size, 1)
    if step >= len(left):
        return left @ right
    return np.concatenate([left[start : start + step] @ right for start in range(0, len(left), step)])


def _across(weights: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """weights @ known, some columns at a time."""
    step = max(_ONE_THREAD // weights.size, 1)
    if step >= known.shape[1]:
        return weights @ known
    grid = np.empty((len(weights), known.shape[1]), np.float32)
    for start in range(0, known.shape[1], step):
        grid[:, start : start + step] = weights @ known[:, start : start + step]
    return grid


@lru_cache(maxsize=64)
def _weights(spline: TextSpline, count: int, height: int) -> NDArray[np.float32] | None:
    """What each of ``height`` rows over V takes of the few in which the spline is evaluated, (height, rows).

    None where all rows are to be evaluated: in small crops, and in splines whose control points lie among the
    samples, where no spline is smooth. The weights are a least-squares fit to the basis of all control points
    over the whole width.
    """
    if spline.control_inset or spline.target_align_corners:
        return None
    samples = _centres(height)
    controls = inset_control_points(count, spline.control_inset)[: count // 2, 0]
    along = np.interp(np.arange(0, count // 2 - 1 + 1e-9, 1 / _BETWEEN), np.arange(count // 2), controls)

    def family(places: NDArray[np.float64]) -> NDArray[np.float64]:
        basis = _evaluated(spline, count, _crossings(along, places)).reshape(len(places), -1)
        return np.concatenate([basis, np.full((len(places), 1), _FIRM), _FIRM * places[:, None]], axis=1)

    for number in (each for each in _NODES if each < height):
        known = family(_nodes(number))
        inverse = known.T @ np.linalg.pinv(known @ known.T, rcond=_RCOND**2, hermitian=True)
        weights = np.empty((height, number))
        worst = 0.0
        step = max(_ONE_THREAD // known.size, 1)
        for start in range(0, height, step):
            part = family(samples[start : start + step])
            some = weights[start : start + step] = part @ inverse
            worst = max(worst, float(np.abs(some @ known - part)[:, :-2].max()))
        if worst <= ROW_ERROR:
            return weights.astype(np.float32)
    return None


def _centres(count: int) -> NDArray[np.float64]:
    return np.asarray((np.arange(count) + 0.5) * (2 / count) - 1, np.float64)


def _nodes(number: int) -> NDArray[np.float64]:
    """Normalised y of the rows in which the spline is evaluated: closer to each other at the edges of V."""
    return np.asarray(-np.cos(np.pi * np.arange(number) / (number - 1)), np.float64)


def _crossings(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """(len(y) * len(x), 2), row by row."""
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


@lru_cache(maxsize=4)
def _table(spline: TextSpline, count: int, rows: int) -> NDArray[np.float32]:
    """(rows, `_TABLED`, K): the basis in the rows of `_nodes`, at even steps from -1 to 1."""
    points = _crossings(np.linspace(-1, 1, _TABLED), _nodes(rows))
    return _evaluated(spline, count, points).astype(np.float32).reshape(rows, _TABLED, count)


def _evaluated(spline: TextSpline, count: int, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The basis (P, K) at points, some at a time; of a spline that means the same by x at every width."""
    basis = np.empty((len(points), count))
    step = max(_ONE_THREAD // (count * (count + 3)), 1)
    for start in range(0, len(points), step):
        basis[start : start + step] = spline.basis(count, points[start : start + step], (1, 1))
    return basis


class _Bases:
    """Bases (P, K): those that were used last, bounded in bytes."""

    def __init__(self, room: int) -> None:
        self._whole = self._room = room
        self._kept: OrderedDict[Hashable, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, key: Hashable, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        with self._lock:
            basis = self._kept.get(key)
            if basis is not None:
                self._kept.move_to_end(key)
                return basis
        basis = make()
        with self._lock:
            if key not in self._kept and basis.nbytes <= self._whole:
                self._kept[key] = basis
                self._room -= basis.nbytes
            while self._room < 0:
                self._room += self._kept.popitem(last=False)[1].nbytes
        return basis


_bases = _Bases(_BASES_BYTES)


def _basis_of_rows(spline: TextSpline, count: int, rows: int, width: int) -> NDArray[np.float32]:
    """(rows * width, K): the basis in the rows of `_nodes`, at the centres of so many samples."""
    table = _table(spline, count, rows)
    places = (_centres(width) + 1) * ((_TABLED - 1) / 2)
    left = places.astype(np.intp)
    before = np.take(table, left, axis=1)
    basis = np.take(table, left + 1, axis=1)
    basis -= before
    basis *= (places - left).astype(np.float32)[:, None]
    basis += before
    return basis.reshape(-1, count)


def shared_grids(
    controls: NDArray[np.float32], size: Size, *, spline: TextSpline = PLAIN_SPLINE
) -> Iterator[Maps]:
    """Maps of images whose V has one size, which is one of few: by the whole basis, which is large and kept.

    Args:
        controls: (n, K, 2).
    """
    basis = _shared_basis(spline, controls.shape[1], size)
    together = max(_ONE_THREAD // (2 * basis.size), 1)
    for start in range(0, len(controls), together):
        rows = np.ascontiguousarray(controls[start : start + together].transpose(0, 2, 1))
        planes = (rows.reshape(-1, len(basis)) @ basis).reshape(-1, 2, *size)
        yield from ((x, y) for x, y in planes)


@lru_cache(maxsize=8)
def _shared_basis(spline: TextSpline, count: int, size: Size) -> NDArray[np.float32]:
    """(K, P): as a matrix product from the left wants it."""
    return np.ascontiguousarray(_whole_basis(spline, count, size).T)


def _whole_basis(spline: TextSpline, count: int, size: Size) -> NDArray[np.float32]:
    """(P, K): the basis at every sample."""
    return spline.basis(count, target_points(size), size).astype(np.float32)
