"""Batches of decoded images, no larger than memory should hold; a bad image is an error in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, repeat
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.inputs import FAILURES, Failure, Picture, PictureReader, without_frames

LARGEST_BATCH = 64
BATCH_PIXELS = 32_000_000
"""The image that brings a batch to so many pixels is its last one."""
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One image in memory.

    given: the array as it came, or the decoded file. pixels: the same as (h, w, 3) uint8 BGR.
    name: what messages call it. decode: milliseconds.
    """

    given: NDArray[Any]
    pixels: NDArray[np.uint8]
    name: str
    decode: float


def batches(
    images: Iterable[Picture],
    reader: PictureReader,
    *,
    alone: bool = False,
    first: int = 0,
    pixels: int = BATCH_PIXELS,
) -> Iterator[list[Loaded | Failure]]:
    """Read images batch by batch, in order, each batch when it is asked for.

    Where the iterable raises, what came before is a batch of its own, and the error follows it.

    Args:
        images: any number. reader: that reads them. alone: messages do not count the image.
        first: what messages call the first image. pixels: that end a batch.
    """
    names = repeat("image") if alone else (f"image {number}" for number in count(first))
    loaded = map(partial(_load, reader), images, names)
    yield from groups(loaded, _pixels, most=LARGEST_BATCH, room=pixels)


def groups(
    items: Iterator[Value], pixels: Callable[[Value], int], *, most: int, room: int
) -> Iterator[list[Value]]:
    """Items in groups, each read when it is asked for; an error of the source comes after the last.

    Args:
        pixels: of an item. most: items of a group. room: the item that brings a group to so many pixels is
            its last one.
    """
    broken, more = None, True
    while more:
        group: list[Value] = []
        left = room
        while left > 0 and len(group) < most:
            try:
                item = next(items)
            except StopIteration:
                more = False
                break
            except Exception as error:  # noqa: BLE001, raised below
                broken, more = error, False
                break
            group.append(item)
            left -= pixels(item)
            del item
        if group:
            yield group
        if broken is not None:
            raise broken


def _pixels(one: Loaded | Failure) -> int:
    return one.pixels.size // 3 if isinstance(one, Loaded) else 0


def _load(reader: PictureReader, picture: Picture, name: str) -> Loaded | Failure:
    start = perf_counter()
    try:
        given, pixels = reader.read(picture, name)
    except FAILURES as error:
        return without_frames(error)
    return Loaded(given, pixels, name, (perf_counter() - start) * 1e3)


def checked_errors(errors: object) -> bool:
    """Whether errors are to be kept. Raises ArgumentError for what is neither "raise" nor "keep"."""
    if errors not in ("raise", "keep"):
        raise ArgumentError(f'errors: expected "raise" or "keep", got {errors!r}')
    return errors == "keep"


def or_raised(outcomes: Iterable[Value | Failure]) -> Iterator[Value]:
    """The outcomes up to the first error, which is raised."""
    for outcome in outcomes:
        if isinstance(outcome, FAILURES):
            raise outcome
        yield outcome
