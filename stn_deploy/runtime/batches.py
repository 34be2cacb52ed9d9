"""Batches of decoded images, no larger than memory should hold; a bad image is an error in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
    remaining, done, more = iter(images), first, True
    while more:
        batch: list[Loaded | Failure] = []
        room, broken = pixels, None
        while room > 0 and len(batch) < LARGEST_BATCH:
            try:
                picture = next(remaining)
            except StopIteration:
                more = False
                break
            except Exception as error:  # noqa: BLE001, raised below
                broken, more = error, False
                break
            one = _load(picture, reader, "image" if alone else f"image {done + len(batch)}")
            batch.append(one)
            room -= one.pixels.size // 3 if isinstance(one, Loaded) else 0
            del picture, one
        done += len(batch)
        if batch:
            yield batch
        if broken is not None:
            raise broken


def _load(picture: Picture, reader: PictureReader, name: str) -> Loaded | Failure:
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
