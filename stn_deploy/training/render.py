"""A labelled set of rendered words, from its settings to its files."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from stn_deploy.data.set_writer import new_set
from stn_deploy.errors import ArgumentError, OutputError
from stn_deploy.geometry import control_point_targets
from stn_deploy.geometry.convention import FloatArray
from stn_deploy.training.flat import random_flat_text
from stn_deploy.training.scene import Scene, random_scene, random_text_height
from stn_deploy.training.warp import random_warp
from stn_deploy.training.wordlist import Vocabulary
from stn_deploy.training.workers import results_in_order

CHUNK = 32
"""Pictures that a process draws at a time."""

ENCODINGS: dict[str, list[int]] = {
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
}
COLUMNS = ("file", "width", "height", "text", "quad", "points")


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """What a set holds; with the same fonts, it follows from this alone.

    count: of pictures, at least 1. seed: at least 0. control_points: K, even and at least 4.
    encoding: png or jpg.
    """

    vocabulary: Vocabulary
    count: int = 1000
    seed: int = 0
    control_points: int = 20
    encoding: str = "png"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ArgumentError(f"count: expected at least 1, got {self.count}")
        if self.seed < 0:
            raise ArgumentError(f"seed: expected at least 0, got {self.seed}")
        if self.encoding not in ENCODINGS:
            raise ArgumentError(f"format: expected one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        control_point_targets(self.control_points)


@dataclass(frozen=True)
class Rendered:
    """One picture of a set: its file's name and bytes, and its row in ``labels.tsv``."""

    name: str
    data: bytes
    row: str


def render_scene(settings: RenderSettings, index: int) -> Scene:
    """Picture ``index`` of a set; it depends on no other picture."""
    rng = np.random.default_rng([settings.seed, index])
    while True:
        text_height = random_text_height(rng)
        flat = random_flat_text(rng, settings.vocabulary.fonts, text_height, draw=settings.vocabulary.draw)
        warp = random_warp(rng, flat.length)
        scene = random_scene(rng, flat, warp, count=settings.control_points, text_height=text_height)
        if np.isfinite(scene.points).all():
            return scene


def write_set(
    to: Path,
    settings: RenderSettings,
    *,
    processes: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Render a set and write it: complete, or not at all.

    Args:
        to: a folder that is absent or empty, or a file that is absent and ends in .zip.
        processes: at least 1; the pictures are the same for any number.
        progress: called with 1 after each picture.
    Raises:
        ArgumentError: ``to`` exists, or ``processes`` is below 1.
        OutputError: it cannot be written, or a process ended before its time.
    """
    if processes < 1:
        raise ArgumentError(f"processes: expected at least 1, got {processes}")
    with new_set(to) as write, closing(_pictures(settings, processes)) as pictures:
        rows = ["\t".join(COLUMNS)]
        for picture in pictures:
            write(picture.name, picture.data)
            rows.append(picture.row)
            progress(1)
        write("labels.tsv", ("\n".join(rows) + "\n").encode())


def _pictures(settings: RenderSettings, processes: int) -> Generator[Rendered, None, None]:
    """All pictures in their order."""
    starts = range(0, settings.count, CHUNK)
    chunks = results_in_order(_chunk, starts, processes=processes, start=_start, arguments=(settings,))
    with closing(chunks):
        yield from chain.from_iterable(chunks)


_settings: RenderSettings | None = None


def _start(settings: RenderSettings) -> None:
    global _settings
    _settings = settings


def _chunk(start: int) -> list[Rendered]:
    if _settings is None:
        raise RuntimeError("_start must run first in each process")
    return [_rendered(_settings, index) for index in range(start, min(start + CHUNK, _settings.count))]


def _rendered(settings: RenderSettings, index: int) -> Rendered:
    scene = render_scene(settings, index)
    good, data = cv2.imencode(f".{settings.encoding}", scene.image, ENCODINGS[settings.encoding])
    if not good:
        raise OutputError(f"OpenCV cannot write {settings.encoding}")
    name = f"{index:0{max(6, len(str(settings.count - 1)))}d}.{settings.encoding}"
    half = settings.control_points // 2
    corners = scene.points[[0, half - 1, -1, half]]
    height, width = scene.image.shape[:2]
    fields = (name, width, height, scene.word, _numbers(corners), _numbers(scene.points))
    return Rendered(name, data.tobytes(), "\t".join(map(str, fields)))


def _numbers(points: FloatArray) -> str:
    """x1,y1,x2,y2,... to a hundredth of a pixel."""
    return ",".join(f"{value:.2f}" for value in points.ravel())
