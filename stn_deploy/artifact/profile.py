"""The sizes that an engine is built for: smallest, usual and largest batch and canvas."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

from stn_deploy.errors import ArgumentError

LARGEST_BATCH, LARGEST_SIDE = 4096, 8192

Batches = tuple[int, int, int]
Canvases = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Smallest, usual and largest input of an engine; it is fastest at the usual one.

    batch: images, each 1 to 4096. canvas: (height, width) in pixels, each 1 to 8192.
    """

    batch: Batches = (1, 16, 64)
    canvas: Canvases = ((32, 32), (64, 256), (256, 1024))

    def __post_init__(self) -> None:
        _check("batch", [(count,) for count in _triple("batch", self.batch)], LARGEST_BATCH)
        _check("canvas", [tuple(size) for size in _triple("canvas", self.canvas)], LARGEST_SIDE)

    @classmethod
    def parse(cls, batch: str | None = None, canvas: str | None = None) -> Profile:
        """The profile of texts such as ``1:16:64`` and ``32x32:64x256:256x1024``; one value is all three.

        Raises:
            ArgumentError: another form, a size out of range, or sizes that do not grow.
        """
        found: dict[str, Any] = {}
        if batch is not None:
            found["batch"] = tuple(int(item) for item in _parts("batch", batch, r"\d{1,5}", "1:16:64"))
        if canvas is not None:
            sizes = _parts("canvas", canvas, r"\d{1,5}[xX]\d{1,5}", "32x32:64x256:256x1024")
            found["canvas"] = tuple(_size(item) for item in sizes)
        return cls(**found)

    @property
    def static(self) -> bool:
        """Whether there is one size alone."""
        return len(set(self.batch)) == 1 and len(set(self.canvas)) == 1

    def texts(self) -> tuple[str, str]:
        """Batch and canvas as `parse` reads them."""
        batches = [str(count) for count in self.batch]
        canvases = [f"{height}x{width}" for height, width in self.canvas]
        return _joined(batches), _joined(canvases)

    def shapes(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """Smallest, usual and largest shape of each input of an exported file."""
        sizes = list(zip(self.batch, self.canvas, strict=True))
        return {
            "images": tuple((count, *size, 3) for count, size in sizes),
            "extents": tuple((count, 2) for count, _ in sizes),
        }

    def expect(self, batch: int, canvas: tuple[int, int]) -> None:
        """Check that an input fits.

        Raises:
            ArgumentError: it is smaller or larger than the engine was built for.
        """
        smallest, _, largest = self.batch
        if not smallest <= batch <= largest:
            raise ArgumentError(
                f"batch: the engine was built for {smallest} to {largest} images, got {batch}"
            )
        low, _, high = self.canvas
        if not all(a <= side <= b for a, side, b in zip(low, canvas, high, strict=True)):
            raise ArgumentError(
                f"canvas: the engine was built for {low[0]} x {low[1]} to {high[0]} x {high[1]} pixels "
                f"(height x width), got {canvas[0]} x {canvas[1]}; pad the canvas, or build for more sizes"
            )


def _joined(texts: list[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else ":".join(texts)


def _triple(name: str, value: object) -> tuple[Any, Any, Any]:
    if not isinstance(value, tuple) or len(value) != 3:
        raise ArgumentError(f"{name}: expected the smallest, the usual and the largest, got {value!r}")
    return value


def _check(name: str, sizes: list[tuple[Any, ...]], largest: int) -> None:
    """Whole numbers in range that do not shrink."""
    for size in sizes:
        for side in size:
            if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= largest:
                raise ArgumentError(f"{name}: expected whole numbers from 1 to {largest}, got {side!r}")
    for low, high in itertools.pairwise(sizes):
        if len(low) != len(high) or any(a > b for a, b in zip(low, high, strict=True)):
            got = " before ".join("x".join(map(str, size)) for size in (low, high))
            raise ArgumentError(f"{name}: expected smallest <= usual <= largest, got {got}")


def _parts(name: str, text: str, form: str, example: str) -> list[str]:
    parts = text.split(":")
    if len(parts) not in (1, 3) or not all(re.fullmatch(form, part) for part in parts):
        raise ArgumentError(
            f"--{name}: expected MIN:OPT:MAX such as {example}, or one value for all three; got {text!r}"
        )
    return parts * (3 // len(parts))


def _size(text: str) -> tuple[int, int]:
    height, width = text.lower().split("x")
    return int(height), int(width)
