"""A before/after sheet: each source with its control points and grid, beside what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stn_deploy.geometry import target_points
from stn_deploy.pictures import draw_control_points, fit, tabulate
from stn_deploy.pictures import draw_grid as draw_sampling_grid
from stn_deploy.runtime.result import Rectified

_CELL = (200, 420)
_COLUMNS = ("source, with control points and grid", "result")
_LATTICE = (32, 96)


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """One row of a sheet. image: the source (h, w, 3). label: under the source. note: under the result."""

    image: NDArray[np.uint8]
    result: Rectified
    label: str
    note: str


class SheetRows:
    """Rows for a sheet as they come: where there are more than it holds, untouched ones give way."""

    _ROOM = 24

    def __init__(self) -> None:
        self._straightened: list[SheetRow] = []
        self._untouched: list[SheetRow] = []

    def add(self, row: SheetRow) -> None:
        """Keep a row, if there is room for it."""
        (self._straightened if row.result.applied else self._untouched).append(row)
        del self._straightened[self._ROOM :]
        del self._untouched[self._ROOM - len(self._straightened) :]

    @property
    def kept(self) -> list[SheetRow]:
        """Straightened ones first."""
        return self._straightened + self._untouched


def draw_grid(
    image: NDArray[np.uint8], result: Rectified, *, lines: tuple[int, int] = (4, 12)
) -> NDArray[np.uint8]:
    """The source with the sampling grid and the control points drawn on it.

    Args:
        image: (h, w, 3) uint8. lines: cells of the drawn grid, down and across.
    Returns:
        (h', w', 3) uint8, enlarged where the source is small, so that the drawing does not hide the text.
    """
    grid = result.source_from_target(target_points(_LATTICE)).reshape(*_LATTICE, 2)
    lined = draw_sampling_grid(fit(image, _CELL), grid, lines=lines, marked=False)
    return draw_control_points(lined, result.theta)


def before_after_sheet(rows: Sequence[SheetRow]) -> NDArray[np.uint8]:
    """All rows under each other, (h, w, 3) uint8: the source on the left, the result on the right."""
    # An untouched crop shows no grid: nothing was sampled.
    cells = [
        (
            draw_grid(row.image, row.result) if row.result.applied else _shown(row.image),
            _shown(row.result.image),
        )
        for row in rows
    ]
    return tabulate(cells, _COLUMNS, notes=[(row.label, row.note) for row in rows], width=_CELL[1])


def _shown(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture at the size of its cell; small ones are enlarged up to four times."""
    return fit(picture, _CELL, largest=4)
