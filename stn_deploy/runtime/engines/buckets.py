"""Which images share a batch, and on which canvas: few distinct sizes, little padding. Pure arithmetic."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from stn_deploy.artifact import Profile
from stn_deploy.errors import ArgumentError

Canvas = tuple[int, int]

_LAUNCH = 1 << 17
"""Pixels whose copy over PCIe takes about as long as a batch of its own: some 30 us at 12 GB/s."""
_FILL = 0.75
"""A batch is filled up to the next size where at least this share of it is real."""


class Batch(NamedTuple):
    """Images that run together.

    canvas: height and width, pixels. size: images that the engine runs; from ``len(places)`` on they are
    ignored. places: which images of the list, ascending.
    """

    canvas: Canvas
    size: int
    places: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """The canvases and batch sizes that may occur, so that memory and captured graphs are bounded.

    Sides of canvases are powers of two and 1.5 times those, within the bounds; batch sizes are powers of two.

    smallest, largest: canvas, (height, width) in pixels. batch: smallest and largest number of images.
    room: bytes of pixels that a batch may take; the largest canvas must fit with the smallest batch.
    """

    smallest: Canvas = (32, 32)
    largest: Canvas = (512, 2048)
    batch: tuple[int, int] = (1, 64)
    room: int = 16 << 20

    def __post_init__(self) -> None:
        sides = [*zip(self.smallest, self.largest, strict=True), self.batch]
        if any(not 1 <= low <= high for low, high in sides):
            raise ArgumentError(
                "buckets: expected 1 <= smallest <= largest, got canvases "
                f"{self.smallest} to {self.largest}, batches {self.batch}"
            )
        least = self.batch[0] * self.largest[0] * self.largest[1] * 3
        if self.room < least:
            raise ArgumentError(f"room: expected at least {least} bytes for one batch, got {self.room}")

    @classmethod
    def of_profile(cls, profile: Profile, *, room: int = 16 << 20) -> Buckets:
        """What an engine was built for; more room than asked for where its smallest batch needs it."""
        smallest, _, largest = profile.canvas
        least = profile.batch[0] * largest[0] * largest[1] * 3
        return cls(
            smallest=smallest,
            largest=largest,
            batch=(profile.batch[0], profile.batch[2]),
            room=max(room, least),
        )

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """Of canvases, ascending."""
        return _ladder(self.smallest[0], self.largest[0])

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Of canvases, ascending."""
        return _ladder(self.smallest[1], self.largest[1])

    def sizes(self, canvas: Canvas) -> tuple[int, ...]:
        """Batch sizes that occur on a canvas, ascending: those whose pixels find room."""
        return _batch_sizes(*self.batch, self.room // (canvas[0] * canvas[1] * 3))

    def count(self) -> int:
        """How many pairs of canvas and batch size there are."""
        return sum(len(self.sizes((height, width))) for height in self.heights for width in self.widths)

    def factor(self, height: int, width: int) -> int:
        """By which whole number an image is shrunk to fit the largest canvas; 1 where it fits."""
        return max(-(-height // self.largest[0]), -(-width // self.largest[1]))

    def canvas_for(self, height: int, width: int) -> Canvas:
        """The smallest canvas that holds an image, which must fit the largest."""
        return (
            self.heights[bisect_left(self.heights, height)],
            self.widths[bisect_left(self.widths, width)],
        )

    def plan(self, sizes: Iterable[tuple[int, int]]) -> list[Batch]:
        """Batches for images, which hold each image once.

        Args:
            sizes: height and width of each image, pixels, at most those of the largest canvas.
        """
        found: dict[Canvas, list[int]] = defaultdict(list)
        for place, (height, width) in enumerate(sizes):
            found[self.canvas_for(height, width)].append(place)
        groups = self._merged(found)
        return [
            Batch(canvas, size, tuple(places[start : start + taken]))
            for canvas, places in sorted(groups.items())
            for start, taken, size in _split(len(places), self.sizes(canvas))
        ]

    def _merged(self, groups: dict[Canvas, list[int]]) -> dict[Canvas, list[int]]:
        """Groups, the smaller canvases first, move to a larger canvas where that costs less than a launch."""
        merged = {canvas: sorted(places) for canvas, places in groups.items()}
        for canvas in sorted(groups, key=lambda each: each[0] * each[1]):
            places = merged[canvas]
            alone = self._cost(len(places), canvas)
            best, target = 0, None
            for other, there in merged.items():
                if other != canvas and other[0] >= canvas[0] and other[1] >= canvas[1]:
                    together = self._cost(len(there) + len(places), other) - self._cost(len(there), other)
                    if alone - together > best:
                        best, target = alone - together, other
            if target is not None:
                merged[target] = sorted([*merged[target], *merged.pop(canvas)])
        return merged

    def _cost(self, count: int, canvas: Canvas) -> int:
        pixels = canvas[0] * canvas[1]
        return sum(_LAUNCH + size * pixels for _, _, size in _split(count, self.sizes(canvas)))


@lru_cache(maxsize=256)
def _batch_sizes(low: int, high: int, room: int) -> tuple[int, ...]:
    """low, the powers of two from there on that find room, and high where that does."""
    fits = max(low, min(high, room))
    between = {1 << power for power in range(low.bit_length(), fits.bit_length())}
    return tuple(sorted({size for size in between if low < size <= fits} | {low} | {high} & {fits}))


@lru_cache(maxsize=4096)
def _split(count: int, sizes: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """Where each batch of a group starts, how many images it takes, and its size."""
    parts, start = [], 0
    while start < count:
        left = count - start
        size = _size_for(left, sizes)
        parts.append((start, min(size, left), size))
        start += size
    return tuple(parts)


def _size_for(left: int, sizes: tuple[int, ...]) -> int:
    """The size that is at least three quarters full, else the largest that is full, else the smallest."""
    at = bisect_left(sizes, left)
    if at < len(sizes) and left >= _FILL * sizes[at]:
        return sizes[at]
    return sizes[max(at - 1, 0)]


def _ladder(low: int, high: int) -> tuple[int, ...]:
    """low, high, and the powers of two and 1.5 times those between."""
    powers = [1 << power for power in range(high.bit_length())]
    steps = {*powers, *(3 * power // 2 for power in powers[1:])}
    return tuple(sorted({low, high} | {step for step in steps if low < step < high}))
