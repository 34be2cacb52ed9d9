"""What the runtime is measured on: real crops, and JPEG files made of the larger ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import open_dataset

Image = NDArray[np.uint8]
FILE_SIZE = (120, 400)
QUALITY = 90
_SMALLEST = (60, 200)
"""A crop of at least so many pixels has the detail of a file of `FILE_SIZE`; smaller ones are too smooth."""
_ASPECTS = (2.2, 5.0)
_SETS = ("iiit5k_test.zip", "svt_test.zip", "icdar2015_test.zip")


def decoded(path: Path, count: int) -> list[Image]:
    """The first crops of a set."""
    with open_dataset(path) as samples:
        return [sample.image() for sample in islice(samples, count)]


def jpeg_files(folder: Path) -> list[bytes]:
    """Words of photographs as JPEG files of one size, from all test sets in a folder that are there."""
    encoded = []
    for image in _large(folder):
        resized = cv2.resize(image, FILE_SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        _, data = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        encoded.append(data.tobytes())
    return encoded


def _large(folder: Path) -> Iterator[Image]:
    for name in _SETS:
        if not (folder / name).exists():
            continue
        with open_dataset(folder / name) as samples:
            for sample in samples:
                image = sample.image()
                height, width = image.shape[:2]
                fits = _ASPECTS[0] <= width / height <= _ASPECTS[1]
                if fits and height >= _SMALLEST[0] and width >= _SMALLEST[1]:
                    yield image
