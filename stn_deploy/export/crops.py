"""Crops as the localisation network sees them: what a lower precision is calibrated and measured on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec
from stn_deploy.data import FoundImage, find_images, open_dataset, read_image, thumbnail_batch
from stn_deploy.errors import ArgumentError, DatasetError, ImageError

MOST = 2048
"""Crops that are read of a dataset, spread evenly: more change the ranges no further, and take memory."""
_LABELS, _LMDB = "labels.tsv", "data.mdb"


class Crops(NamedTuple):
    """thumbnails: (n, 3, h, w) float32, BGR in [0, 255]. sizes: (n, 2) float32, height and width, pixels."""

    thumbnails: NDArray[np.float32]
    sizes: NDArray[np.float32]

    def batches(self, size: int = 64) -> Iterator[Crops]:
        """The crops in their order, so many at a time."""
        for start in range(0, len(self.sizes), size):
            yield Crops(self.thumbnails[start : start + size], self.sizes[start : start + size])

    def halves(self) -> tuple[Crops, Crops]:
        """Every other crop, and those between: neighbours in a dataset often come from one photograph.

        Raises:
            DatasetError: there is only one.
        """
        if len(self.sizes) < 2:
            raise DatasetError(
                f"calibration: expected at least 2 crops, one to calibrate and one to measure on, got "
                f"{len(self.sizes)}; some hundred are good"
            )
        return Crops(*(each[0::2] for each in self)), Crops(*(each[1::2] for each in self))

    def digest(self) -> str:
        """SHA-256 of the crops, hexadecimal."""
        sha = hashlib.sha256(repr(self.thumbnails.shape).encode())
        for each in self:
            sha.update(np.ascontiguousarray(each).tobytes())
        return sha.hexdigest()


def crops_of(images: Sequence[NDArray[np.uint8]], spec: RectifierSpec) -> Crops:
    """Decoded images, at least one, each (h, w, 3) uint8 BGR, as crops of a rectifier."""
    thumbnails = thumbnail_batch(
        images,
        spec.thumbnail_size,
        input_size=spec.input_size,
        align_corners=spec.thumbnail_align_corners,
    )
    return Crops(thumbnails, np.array([image.shape[:2] for image in images], np.float32))


def load_crops(
    path: Path, spec: RectifierSpec, *, progress: Callable[[int, int], None] = lambda *_: None
) -> tuple[Crops, list[str]]:
    """The crops of a dataset.

    Args:
        path: what `stn_deploy.data.open_dataset` opens; or a folder of pictures without labels.
        spec: of the rectifier that will see them.
        progress: called with the number of crops that were read, and of how many.
    Returns:
        at most `MOST` crops, and why others could not be used.
    Raises:
        DatasetError: there is no such dataset, it is damaged, or none of its pictures can be used.
    """
    unusable: list[str] = []
    crops = [crops_of([image], spec) for image in read_images(path, unusable=unusable, progress=progress)]
    return Crops(*(np.concatenate(each) for each in zip(*crops, strict=True))), unusable


def read_images(
    path: Path,
    *,
    most: int = MOST,
    unusable: list[str],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Iterator[NDArray[np.uint8]]:
    """Decoded pictures of a dataset, (h, w, 3) BGR each, spread evenly over it.

    Args:
        path, progress: as for `load_crops`. most: pictures that are read.
        unusable: takes why others could not be used.
    Raises:
        DatasetError: as for `load_crops`.
    """
    found = False
    with contextlib.ExitStack() as opened:
        pictures: _Pictures
        if path.is_dir() and not any((path / name).exists() for name in (_LABELS, _LMDB)):
            pictures = [_File(each.path) for each in _found(path)]
        else:
            pictures = opened.enter_context(open_dataset(path))
        chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), most)).round().astype(int)
        for done, index in enumerate(chosen, start=1):
            picture = pictures[int(index)]
            try:
                image = picture.image()
                if min(image.shape[:2]) < 2:
                    raise ImageError(
                        f"expected at least 2 x 2 pixels, got {image.shape[0]} x {image.shape[1]}"
                    )
                yield image
                found = True
            except ImageError as error:
                unusable.append(f"{picture.name}: {str(error).removeprefix(f'{picture.name}: ')}")
            progress(done, len(chosen))
    if not found:
        raise DatasetError(f"{path}: expected crops, got none that can be used; the first: {unusable[0]}")


class _Picture(Protocol):
    """What has a name and can be decoded: a sample of a dataset, or a file."""

    @property
    def name(self) -> str: ...

    def image(self) -> NDArray[np.uint8]: ...


class _Pictures(Protocol):
    """A sequence of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> _Picture: ...


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name

    def image(self) -> NDArray[np.uint8]:
        return read_image(self._path)


def _found(folder: Path) -> list[FoundImage]:
    try:
        return find_images([folder])
    except ArgumentError as error:
        raise DatasetError(
            f"{folder}: expected pictures, or a dataset with {_LABELS}, found neither"
        ) from error
