"""Real words with their true quadrilateral or control points, and varied crops of them."""

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
from stn_deploy.training.scene import LARGEST, Scene, random_margins
from stn_deploy.training.warp import between_pixel_centres, perspective, rotation, squeeze

if TYPE_CHECKING:
    from stn_deploy.data import Dataset


@dataclass(frozen=True, kw_only=True)
class RealWord:
    """A photograph of a word.

    image: (h, w, 3) uint8. quad: (4, 2) corners in pixels, clockwise from the text's top left.
    points: (K, 2) control points of curved text, pixels; None where the quad says all.
    """

    image: NDArray[np.uint8]
    quad: NDArray[np.float32]
    text: str
    points: NDArray[np.float32] | None = None

    def scene(self, count: int) -> Scene:
        """The photograph as it is, with ``count`` true control points."""
        points = (
            quad_control_points(self.quad, count) if self.points is None else respaced(self.points, count)
        )
        return Scene(image=self.image, points=points, word=self.text)


def load_real_words(dataset: Dataset, *, needed: bool = True) -> tuple[list[RealWord], dict[str, int]]:
    """All words of a dataset that have a usable quadrilateral or control points; why others were left out.

    Args:
        needed: whether a dataset without any is refused.
    Returns:
        the words, and for each reason the number left out.
    Raises:
        DatasetError: no sample has one, where they are needed.
    """
    words: list[RealWord] = []
    left_out: Counter[str] = Counter()
    for sample in dataset:
        points = sample.points
        quad = sample.quad if points is None else points[_corners(len(points))]
        if quad is None:
            left_out["without a quad"] += 1
        elif points is None and not _convex(quad):
            left_out["with a quad that is not convex, clockwise and of four pixels or more"] += 1
        elif points is not None and not _along_a_line(points):
            left_out["with points that do not go along the top edge, then along the bottom edge"] += 1
        else:
            try:
                words.append(RealWord(image=sample.image(), quad=quad, text=sample.text, points=points))
            except ImageError:
                left_out["with an image that cannot be used"] += 1
    if needed and not words:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise DatasetError(
            "training data: expected samples with a quad column (x1,y1,...,x4,y4) or points, found none "
            f"({reasons or 'no samples'}); add quads, leave --data out to train on rendered words alone, or "
            "let the recipe learn from words without a place (texts, batch_texts and recognition_weight)"
        )
    return words, dict(left_out)


def _convex(quad: NDArray[np.float32]) -> bool:
    """Whether the corners go clockwise around a convex area of at least four pixels."""
    sides = np.roll(quad, -1, axis=0) - quad
    following = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    return bool((turns > 0).all() and turns.sum() > 16)


def _corners(count: int) -> list[int]:
    """Indices of the corners among ``count`` control points, clockwise from the top left."""
    return [0, count // 2 - 1, count - 1, count // 2]


def _along_a_line(points: NDArray[np.float32]) -> bool:
    """Whether each pair of neighbours on the top edge has an area with the pair below it."""
    top, bottom = np.split(points, 2)
    first, second = bottom[1:] - top[:-1], bottom[:-1] - top[1:]  # the diagonals of each piece
    areas = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    return bool((areas > 0).all() and areas.sum() > 4)


def respaced(points: FloatArray, count: int) -> FloatArray:
    """``count`` control points on the edges that other control points (K, 2) draw, from end to end."""
    own, wanted = np.linspace(0, 1, len(points) // 2), np.linspace(0, 1, count // 2)
    edges = [
        np.stack([np.interp(wanted, own, edge[:, axis]) for axis in (0, 1)], axis=1)
        for edge in np.split(points, 2)
    ]
    return np.concatenate(edges)


def vary_real_word(rng: Generator, word: RealWord, *, count: int) -> Scene:
    """The photograph as it is, or turned, tilted and cut anew.

    Args:
        count: K, number of control points in the result.
    """
    scene = word.scene(count)
    if rng.random() < 0.3:
        return scene
    points = scene.points
    height = max(float(np.linalg.norm(points[: count // 2] - points[count // 2 :], axis=1).mean()), 2.0)
    middle = points.mean(axis=0)
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
    scale = min(height * rng.uniform(0.7, 1.1), float(np.sqrt(LARGEST / np.prod(upper - lower))))
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
