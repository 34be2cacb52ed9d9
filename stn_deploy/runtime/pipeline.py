"""From a stream of image files to straightened crops, on several threads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar, cast, overload

import numpy as np

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.batches import checked_errors, groups, or_raised
from stn_deploy.runtime.cropping import is_whole
from stn_deploy.runtime.inputs import Failure, Picture, is_picture
from stn_deploy.runtime.overlap import overlapped
from stn_deploy.runtime.rectifier import Rectifier
from stn_deploy.runtime.result import Rectified

GROUP = 32
"""Images that a thread decodes, localises and samples together: more are hardly faster, and take memory."""
GROUP_PIXELS = 8_000_000
"""The image that brings a group to so many pixels is its last one."""
_PIXELS_PER_BYTE = 8
"""Of photographs as JPEG or WebP, a guess; of other files 1. Where there are more, the group is divided once
its images are decoded."""
_COMPRESSED_STARTS = (b"\xff\xd8", b"RIFF")
_COMPRESSED_NAMES = (".jpg", ".jpeg", ".jpe", ".webp")
_MOST_WORKERS = 4
Item = TypeVar("Item")
_Numbered: TypeAlias = tuple[int, Picture]


def default_workers() -> int:
    """Threads where none are asked for: a core each, at most 4."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, available)


def checked_workers(workers: object, name: str = "workers") -> int:
    """A number of threads, the default where it is None. Raises ArgumentError for what is none."""
    if workers is None:
        return default_workers()
    if not is_whole(workers) or cast(int, workers) < 1:
        raise ArgumentError(f"{name}: expected at least 1, got {workers!r}")
    return int(cast(int, workers))


class Pipeline:
    """Straightens a stream of images on several threads.

    Each thread takes a group of up to 32 images, fewer where they are large, and decodes, localises and
    samples them while others do so with theirs. Results come in the order of the images. The source is read
    by whoever takes the results, in that thread, and no further ahead than ``workers + 2`` groups: a slow
    consumer stops the reading and the decoding. Threads live while results are being taken: until the last
    one, an error, or until the iterator is closed or let go of. The results are those of the rectifier, but
    for the last bit, which depends on what is computed together.

    Attributes:
        rectifier: as given. workers: threads.
    """

    def __init__(self, rectifier: Rectifier | None = None, *, workers: int | None = None) -> None:
        """Make one; it starts no thread yet.

        Args:
            rectifier: the one that ships with the package by default. One thread for its network is best: the
                groups share the cores.
            workers: threads, at least 1; by default one for each core, at most 4.
        Raises:
            ArgumentError: ``workers`` is no number, or less than 1.
        """
        self.workers = checked_workers(workers)
        self.rectifier = Rectifier() if rectifier is None else rectifier

    @overload
    def __call__(
        self, images: Iterable[Picture], *, errors: Literal["raise"] = ..., timings: bool = ...
    ) -> Iterator[Rectified]: ...
    @overload
    def __call__(
        self, images: Iterable[Picture], *, errors: Literal["keep"], timings: bool = ...
    ) -> Iterator[Rectified | Failure]: ...

    def __call__(
        self, images: Iterable[Picture], *, errors: Literal["raise", "keep"] = "raise", timings: bool = False
    ) -> Iterator[Rectified | Failure]:
        """Straighten images as `Rectifier` does.

        Args:
            images: any number, as `Rectifier` takes them; an exception of the iterable comes after the
                results of the images before it. Arrays must not change until their results are there.
            errors: "raise" at the first image that cannot be used, after the results of those before it;
                "keep" to get the error in that image's place.
            timings: measure each image.
        Returns:
            an iterator over the results, in order.
        Raises:
            ArgumentError: one image instead of several, or ``errors`` is neither.
            ImageError, ShapeError, ArgumentError, ClosedError: while iterating, as `Rectifier.__call__`; also
                where the process was forked and the iterator is that of its parent.
        """
        keep = checked_errors(errors)
        if is_picture(images) or not isinstance(images, Iterable):
            raise ArgumentError(
                f"images: expected a list or an iterator of images, got {type(images).__name__}; call the "
                "rectifier itself with a single image"
            )
        return self._results(iter(images), keep=keep, timings=timings)

    def _results(
        self, images: Iterator[Picture], *, keep: bool, timings: bool
    ) -> Iterator[Rectified | Failure]:
        work = partial(self._straighten, timings=timings)
        outcomes = overlapped(
            grouped(enumerate(images), _picture),
            work,
            workers=self.workers,
            ahead=self.workers + 2,
            name="stn-deploy pipeline",
        )
        with closing(outcomes):
            yield from outcomes if keep else or_raised(outcomes)

    def _straighten(self, group: Sequence[_Numbered], *, timings: bool) -> list[Rectified | Failure]:
        return self.rectifier.part(
            [picture for _, picture in group], first=group[0][0], pixels=GROUP_PIXELS, timings=timings
        )


def grouped(
    items: Iterator[Item], picture: Callable[[Item], Any], *, most: int = GROUP
) -> Iterator[list[Item]]:
    """Items in groups that a thread does at a time; an error of the source comes after the last.

    Args:
        items: read as groups are asked for. picture: of an item. most: items of a group.
    """
    return groups(items, lambda item: _pixels(picture(item)), most=most, room=GROUP_PIXELS)


def _picture(numbered: _Numbered) -> Picture:
    return numbered[1]


def _pixels(picture: Any) -> int:
    """About how many pixels an image has, found in no time."""
    if isinstance(picture, np.ndarray):
        return math.prod(picture.shape[:2])
    if isinstance(picture, (bytes, bytearray)):
        return len(picture) * (_PIXELS_PER_BYTE if picture.startswith(_COMPRESSED_STARTS) else 1)
    if isinstance(picture, memoryview):
        return picture.nbytes
    if isinstance(picture, (str, os.PathLike)):
        try:
            size = os.stat(picture).st_size  # noqa: PTH116, a third of the time
            return size * (_PIXELS_PER_BYTE if str(picture).lower().endswith(_COMPRESSED_NAMES) else 1)
        except (OSError, ValueError, TypeError):  # the reader will say what is wrong
            return 0
    return 0
