"""Grid generation on the CPU: theta -> the positions in the source that remap samples, at any width.

The spline of a line of text is smooth from its top to its bottom edge. So it is evaluated exactly in a dozen
rows, and all rows of V are combinations of these, by weights that depend on the height of V alone: a basis of
a quarter of the size, and a fifth of the work.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from stn_deploy.geometry import TextSpline, inset_control_points, target_points
from stn_deploy.geometry.convention import Size

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]
"""x and y of the samples of V, each (h, w); rows may be strided."""
PLAIN_SPLINE = TextSpline()
ROW_ERROR = 4e-5
"""Of an entry of the basis. A control point that is displaced by 100 pixels moves a sample by 0.004."""
_NODES = (10, 12, 16, 24, 32, 48)
"""Rows in which the spline is evaluated: the fewest that keep within the error."""
_BETWEEN = 6
"""Positions along V, for each control point, at which the weights are fitted: on it, where the spline is
least smooth, and up to the next one."""
_FIRM, _RCOND = 30.0, 1e-6
"""How much constants and slopes count in the fit, and what of it is left to rounding: weights stay small."""
_TOGETHER = 1 << 18
"""Positions whose maps are computed at once: they stay in the cache until they are used."""
_BASES_BYTES = 32_000_000

_Rows = tuple[NDArray[np.float64], "NDArray[np.float32] | None"]


def source_grid(
    controls: NDArray[np.float32], size: Size, *, spline: TextSpline = PLAIN_SPLINE, supersample: int = 1
) -> Maps:
    """Source coordinates of each sample of V.

    Args:
        controls: (K, 2) control points; the grid comes in their units.
        size: height and width of V, pixels.
        spline: of V; by default the plain one with its control points on the edges.
        supersample: samples per pixel along each axis.
    Returns:
        x and y, each (h * supersample, w * supersample) float32.
    """
    (_, maps), *_ = source_grids(controls[None], [size], spline=spline, supersample=[supersample])
    return maps


def source_grids(
    controls: NDArray[np.float32],
    sizes: Sequence[Size],
    *,
    spline: TextSpline = PLAIN_SPLINE,
    supersample: Sequence[int],
) -> Iterator[tuple[int, Maps]]:
    """`source_grid` of many images, in no particular order: rows of one height are combined together.

    Args:
        controls: (n, K, 2). sizes, supersample: of each.
    Yields:
        the index of an image, and its maps, which the next may overwrite.
    """
    planes = np.ascontiguousarray(controls.transpose(0, 2, 1))
    groups: dict[tuple[int, int], list[int]] = {}
    for index, (size, factor) in enumerate(zip(sizes, supersample, strict=True)):
        groups.setdefault((size[0], factor), []).append(index)
    for (height, factor), members in groups.items():
        nodes, weights = _rows(spline, controls.shape[1], height, factor)
        for chosen, widths in _chunks(members, sizes, height * factor, factor):
            yield from _combined(planes, chosen, widths, (height, factor), (nodes, weights), spline)


def _chunks(
    members: list[int], sizes: Sequence[Size], rows: int, factor: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Images whose grids are computed together, and their widths in samples."""
    chosen: list[int] = []
    widths: list[int] = []
    for index in members:
        width = sizes[index][1] * factor
        if chosen and (sum(widths) + width) * rows > _TOGETHER:
            yield chosen, widths
            chosen, widths = [], []
        chosen.append(index)
        widths.append(width)
    yield chosen, widths


def _combined(
    planes: NDArray[np.float32],
    chosen: list[int],
    widths: list[int],
    drawn: tuple[int, int],
    rows: _Rows,
    spline: TextSpline,
) -> Iterator[tuple[int, Maps]]:
    nodes, weights = rows
    height, factor = drawn
    known = np.empty((2, len(nodes), sum(widths)), np.float32)
    start = 0
    for index, width in zip(chosen, widths, strict=True):
        basis = _bases(spline, planes.shape[2], (height, width // factor), factor)
        for axis in (0, 1):  # one row times a matrix is what BLAS is fast at; two rows are not
            known[axis, :, start : start + width] = (planes[index, axis] @ basis).reshape(-1, width)
        start += width
    x, y = known if weights is None else (weights @ known[0], weights @ known[1])
    start = 0
    for index, width in zip(chosen, widths, strict=True):
        yield index, (x[:, start : start + width], y[:, start : start + width])
        start += width


@lru_cache(maxsize=32)
def _rows(spline: TextSpline, count: int, height: int, supersample: int) -> _Rows:
    """Where the spline is evaluated, normalised y; and what each row of V takes of these rows, (h, rows).

    None where these are the rows of V themselves: in small crops, and in splines whose control points lie
    among the samples, where no spline is smooth. The weights are a least-squares fit to the basis of all
    control points over the whole width.
    """
    samples = _centres(height * supersample)
    if spline.control_inset or spline.target_align_corners:
        return samples, None
    controls = inset_control_points(count, spline.control_inset)[: count // 2, 0]
    along = np.interp(np.arange(0, count // 2 - 1 + 1e-9, 1 / _BETWEEN), np.arange(count // 2), controls)
    along = np.unique(np.concatenate([[-1], along, [1]]))

    def family(places: NDArray[np.float64]) -> NDArray[np.float64]:
        points = np.stack(np.broadcast_arrays(along, places[:, None]), axis=-1).reshape(-1, 2)
        basis = spline.basis(count, points, (height, 1)).reshape(
            len(places), -1
        )  # 1: x means the same always
        return np.concatenate([basis, np.full((len(places), 1), _FIRM), _FIRM * places[:, None]], axis=1)

    for number in (each for each in _NODES if each < len(samples)):
        nodes = -np.cos(np.pi * np.arange(number) / (number - 1)) * samples[-1]
        known = family(nodes)
        inverse = np.linalg.pinv(known, rcond=_RCOND)
        weights = np.empty((len(samples), number))
        worst = 0.0
        for start in range(0, len(samples), 64):
            part = family(samples[start : start + 64])
            some = weights[start : start + 64] = part @ inverse
            worst = max(worst, float(np.abs(some @ known - part)[:, :-2].max()))
        if worst <= ROW_ERROR:
            return np.asarray(nodes, np.float64), weights.astype(np.float32)
    return samples, None


def _centres(count: int) -> NDArray[np.float64]:
    return np.asarray((np.arange(count) + 0.5) * (2 / count) - 1, np.float64)


class _Bases:
    """Bases in the rows of `_rows`, (K, rows * w): those that were used last, bounded in bytes."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: OrderedDict[tuple[TextSpline, int, Size, int], NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, spline: TextSpline, count: int, size: Size, supersample: int) -> NDArray[np.float32]:
        key = (spline, count, size, supersample)
        with self._lock:
            basis = self._kept.get(key)
            if basis is not None:
                self._kept.move_to_end(key)
                return basis
        nodes, _ = _rows(spline, count, size[0], supersample)
        points = np.stack(np.meshgrid(_centres(size[1] * supersample), nodes), axis=-1).reshape(-1, 2)
        basis = np.ascontiguousarray(spline.basis(count, points, size).T, np.float32)
        with self._lock:
            if key not in self._kept and basis.nbytes <= self._room:
                self._kept[key] = basis
                self._room -= basis.nbytes
            while self._room < 0:
                self._room += self._kept.popitem(last=False)[1].nbytes
        return basis


_bases = _Bases(_BASES_BYTES)


def shared_grids(
    controls: NDArray[np.float32], size: Size, *, spline: TextSpline = PLAIN_SPLINE
) -> Iterator[Maps]:
    """Maps of images whose V has one size, which is one of few: by the whole basis, which is large and kept.

    Args:
        controls: (n, K, 2).
    """
    basis = _whole_basis(spline, controls.shape[1], size)
    together = max(_TOGETHER // basis.shape[1], 1)
    for start in range(0, len(controls), together):
        rows = np.ascontiguousarray(controls[start : start + together].transpose(0, 2, 1))
        planes = (rows.reshape(-1, len(basis)) @ basis).reshape(-1, 2, *size)
        yield from ((x, y) for x, y in planes)


@lru_cache(maxsize=8)
def _whole_basis(spline: TextSpline, count: int, size: Size) -> NDArray[np.float32]:
    """(K, P): as a matrix product from the left wants it."""
    return np.ascontiguousarray(spline.basis(count, target_points(size), size).T, np.float32)
