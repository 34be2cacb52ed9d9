"""Real words with their true quadrilateral: varied crops of them, and flat texture taken from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stn_deploy.errors import DatasetError, ImageError
from stn_deploy.geometry import quad_control_points
from stn_deploy.geometry.convention import FloatArray
from stn_deploy.training.scene import Scene, random_margins
from stn_deploy.training.warp import between_pixel_centres, perspective, rotation, squeeze

if TYPE_CHECKING:
    from stn_deploy.data import Dataset


@dataclass(frozen=True, kw_only=True)
class RealWord:
    """A photograph of a word.

    image: (h, w, 3) uint8. quad: (4, 2) corners in pixels, clockwise from the text's top left.
    """

    image: NDArray[np.uint8]
    quad: NDArray[np.float32]
    text: str

    def scene(self, count: int) -> Scene:
        """The photograph as it is, with ``count`` true control points."""
        return Scene(image=self.image, points=quad_control_points(self.quad, count), word=self.text)


def load_real_words(dataset: Dataset) -> tuple[list[RealWord], dict[str, int]]:
    """All words of a dataset that have a usable quadrilateral; for each reason the number left out.

    Raises:
        DatasetError: no sample has one.
    """
    words: list[RealWord] = []
    left_out: Counter[str] = Counter()
    for sample in dataset:
        if sample.quad is None:
            left_out["without a quad"] += 1
        elif not _convex(sample.quad):
            left_out["with a quad that is not convex, clockwise and of four pixels or more"] += 1
        else:
            try:
                words.append(RealWord(image=sample.image(), quad=sample.quad, text=sample.text))
            except ImageError:
                left_out["with an image that cannot be used"] += 1
    if not words:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise DatasetError(
            "training data: expected samples with a quad column (x1,y1,...,x4,y4), found none "
            f"({reasons or 'no samples'}); add quads, or leave --data out to train on rendered words alone"
        )
    return words, dict(left_out)


def _convex(quad: NDArray[np.float32]) -> bool:
    """Whether the corners go clockwise around a convex area of at least four pixels."""
    sides = np.roll(quad, -1, axis=0) - quad
    following = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    return bool((turns > 0).all() and turns.sum() > 16)


def vary_real_word(rng: Generator, word: RealWord, *, count: int) -> Scene:
    """The photograph as it is, or turned, tilted and cut anew.

    Args:
        count: K, number of control points in the result.
    """
    scene = word.scene(count)
    if rng.random() < 0.3:
        return scene
    points = scene.points
    sides = np.linalg.norm(np.roll(word.quad, -1, axis=0) - word.quad, axis=1)
    height = max(float(sides[1] + sides[3]) / 2, 2.0)
    middle = word.quad.mean(axis=0)
    along = rng.uniform(-0.5, 0.5) if rng.random() < 0.2 else rng.normal(0, 0.12)
    along, across = np.clip([along, rng.normal(0, 0.05)], [-0.5, -0.2], [0.5, 0.2])
    half_extent = np.abs(points - middle).max(axis=0) / height * 1.5
    angle = rng.uniform(-60, 60) if rng.random() < 0.25 else rng.normal(0, 6)
    scene_from_flat = (
        rotation(np.radians(angle))
        @ perspective(along, across, half_extent)
        @ squeeze(float(np.exp(rng.uniform(-0.5, 0.5))), rng.normal(0, 0.06))
    )
    centred = np.diag([1 / height, 1 / height, 1.0]) @ np.array(
        [[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1.0]]
    )
    scene_from_image = scene_from_flat @ centred
    outline = cv2.perspectiveTransform(points[None], scene_from_image)[0]
    margins = random_margins(rng)
    lower, upper = outline.min(axis=0) - margins[:2], outline.max(axis=0) + margins[2:]
    scale = min(height * rng.uniform(0.7, 1.1), float(np.sqrt(60_000 / np.prod(upper - lower))))
    width, rows = np.maximum(np.ceil((upper - lower) * scale), 4).astype(int)
    crop_from_scene = np.diag([scale, scale, 1.0]) @ np.array(
        [[1, 0, -lower[0]], [0, 1, -lower[1]], [0, 0, 1.0]]
    )
    crop_from_image = crop_from_scene @ scene_from_image
    image = cv2.warpPerspective(
        word.image,
        between_pixel_centres(crop_from_image),
        (int(width), int(rows)),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    warped: FloatArray = cv2.perspectiveTransform(points[None], crop_from_image)[0]
    return Scene(image=np.asarray(image, np.uint8), points=warped, word=word.text)
