"""What finds the lines of text on a page, and the order in which a reader would read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError

Polygons = Iterable[ArrayLike]

_TALL = 1.5
"""RapidOCR and PaddleOCR take a quad that is so much higher than wide for a line that runs downwards."""


@runtime_checkable
class Detector(Protocol):
    """Finds the lines of text on a page."""

    name: str

    def detect(self, page: NDArray[np.uint8]) -> Polygons:
        """Polygons around the lines of a page (H, W, 3) uint8 BGR, in any order.

        Convention: as for `Rectifier.regions`. (4, 2), clockwise from the top left corner of the text as it
        is read, or (2m, 2), m points along the top edge, then m back along the bottom edge; pixels of the
        page from its top left edge.
        """


@runtime_checkable
class ShrinkingDetector(Protocol):
    """A detector whose engine cuts its crops from a page that it has made smaller."""

    def shrunk(self, page: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The page as the engine cuts from it."""


@runtime_checkable
class FacingDetector(Protocol):
    """A detector whose engine looks whether a line stands on its head before it reads it."""

    def is_turned(self, crop: NDArray[np.uint8]) -> bool:
        """Whether the text of a crop (h, w, 3) uint8 BGR stands on its head."""


def as_detector(engine: object) -> Detector:
    """An engine that finds lines, as such.

    Raises:
        ArgumentError: it finds none.
    """
    if not isinstance(engine, Detector):
        name = getattr(engine, "name", type(engine).__name__)
        raise ArgumentError(
            f"detector: expected an engine that finds the lines of a page, got {name}, which only reads "
            "them; take one that does, such as open_reader('rapidocr') or --detector rapidocr, or give the "
            "polygons to read_regions"
        )
    return engine


def turned_round(polygon: ArrayLike) -> NDArray[np.float64]:
    """A polygon (2m, 2) from the other end of its text, for a line that stands on its head."""
    points = np.asarray(polygon, np.float64)
    return np.roll(points, -(len(points) // 2), axis=0)


def along_text(quad: ArrayLike, *, turned: bool = False) -> NDArray[np.float64]:
    """The corners of a detector's quad from the text's own top left corner.

    Many detectors begin at the corner that is top left on the page. As in RapidOCR and PaddleOCR, a quad at
    least 1.5 times as high as wide is taken for a line that runs downwards.

    Args:
        quad: (4, 2), clockwise from the page's top left. turned: whether the text stands on its head.
    Returns:
        (4, 2), the same corners, clockwise.
    """
    corners = np.asarray(quad, np.float64).reshape(4, 2)
    width, height = quad_size(corners)
    start = (1 if height / max(width, 1) >= _TALL else 0) + (2 if turned else 0)
    return np.roll(corners, -start, axis=0)


def quad_size(corners: NDArray[np.float64]) -> tuple[int, int]:
    """Width and height that RapidOCR and PaddleOCR give to the crop of a quad, whole pixels."""
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    return int(max(sides[0], sides[2])), int(max(sides[1], sides[3]))


def reading_order(polygons: Sequence[ArrayLike]) -> list[int]:
    """The order of lines: rows from top to bottom, each from left to right.

    A line belongs to a row if its middle is not lower than the row's own first line reaches, and the other
    way about: so words of one row stay together although their boxes start at different heights.

    Args:
        polygons: each (n, 2), x and y.
    Returns:
        the indices of the polygons, each once.
    """
    boxes = [np.asarray(polygon, np.float64) for polygon in polygons]
    tops = [float(box[:, 1].min()) for box in boxes]
    ends = [float(box[:, 1].max()) for box in boxes]
    middles = [(top + end) / 2 for top, end in zip(tops, ends, strict=True)]
    rows: list[list[int]] = []
    for index in sorted(range(len(boxes)), key=lambda index: (middles[index], index)):
        first = rows[-1][0] if rows else None
        # The middles of both lie in the height of the other.
        if (
            first is not None
            and tops[first] <= middles[index] <= ends[first]
            and tops[index] <= middles[first] <= ends[index]
        ):
            rows[-1].append(index)
        else:
            rows.append([index])
    return [index for row in rows for index in sorted(row, key=lambda index: float(boxes[index][:, 0].min()))]
