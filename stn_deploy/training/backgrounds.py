"""What lies behind the ink, and how the ink is painted on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stn_deploy.geometry.convention import FloatArray


@dataclass(frozen=True, kw_only=True)
class Style:
    """Colours and effects of a picture.

    ink, paper: (3,) BGR in [0, 255]. grain: (n, m, 3) small texture added to the paper, stretched over it.
    outline, shadow: (3,) colour or None. shift: (2,) shadow offset, parts of the picture's height.
    seed: of the shapes drawn behind (and, with ``occluded``, across) the text. shapes: their number.
    """

    ink: FloatArray
    paper: FloatArray
    grain: FloatArray
    outline: FloatArray | None = None
    shadow: FloatArray | None = None
    shift: FloatArray | None = None
    shapes: int = 0
    occluded: bool = False
    seed: int = 0

    def paint(self, alpha: NDArray[np.uint8], drawn: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Picture (h, w, 3) uint8 of the coverage ``alpha`` (h, w), or of ``drawn`` pixels where given."""
        height, width = alpha.shape
        rng = np.random.default_rng(self.seed)
        grain = cv2.resize(self.grain.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        picture: FloatArray = np.asarray(grain.reshape(height, width, 3) + self.paper, np.float32)
        for _ in range(self.shapes):
            _draw_shape(rng, picture)
        if drawn is not None:
            picture = _blend(picture, drawn.astype(np.float32), alpha)
        else:
            if self.shadow is not None and self.shift is not None:
                move = np.array([[1, 0, self.shift[0] * height], [0, 1, self.shift[1] * height]], np.float32)
                shaded = cv2.blur(cv2.warpAffine(alpha, move, (width, height)), (3, 3))
                picture = _blend(picture, self.shadow, np.asarray(shaded // 4 * 3, np.uint8))
            if self.outline is not None:
                reach = 2 * (height // 60) + 3
                picture = _blend(picture, self.outline, cv2.dilate(alpha, np.ones((reach, reach), np.uint8)))
            picture = _blend(picture, self.ink, alpha)
        if self.occluded:
            _draw_shape(rng, picture)
        return np.clip(picture, 0, 255).astype(np.uint8)


PLAIN = Style(ink=np.zeros(3), paper=np.full(3, 255.0), grain=np.zeros((1, 1, 3)))
"""Black on white."""


def _blend(below: FloatArray, above: FloatArray, alpha: NDArray[Any]) -> FloatArray:
    weight = (alpha.astype(np.float32) / 255)[..., None]
    return np.asarray(below + (above.astype(np.float32) - below) * weight, np.float32)


def _draw_shape(rng: Generator, picture: FloatArray) -> None:
    """A line, a rectangle or an ellipse in place, any colour."""
    height, width = picture.shape[:2]
    colour = [float(value) for value in rng.uniform(0, 255, 3)]
    x0, x1 = (int(value) for value in rng.uniform(-0.2, 1.2, 2) * width)
    y0, y1 = (int(value) for value in rng.uniform(-0.2, 1.2, 2) * height)
    kind = rng.random()
    if kind < 0.6:
        cv2.line(picture, (x0, y0), (x1, y1), colour, int(rng.integers(1, 2 + height // 16)), cv2.LINE_AA)
    elif kind < 0.8:
        cv2.rectangle(picture, (x0, y0), (x1, y1), colour, int(rng.integers(1, 2 + height // 20)))
    else:
        axes = (abs(x1 - x0) // 2 + 1, abs(y1 - y0) // 2 + 1)
        cv2.ellipse(picture, (x0, y0), axes, 0, 0, 360, colour, int(rng.integers(1, 2 + height // 20)))


def random_style(rng: Generator) -> Style:
    """Colours with enough contrast to read, mostly quiet paper, effects now and then."""
    paper = rng.uniform(0, 255, 3) if rng.random() < 0.7 else np.full(3, rng.uniform(0, 255))
    ink = rng.uniform(0, 255, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0, 255))
    if abs(ink.mean() - paper.mean()) < 45:
        ink = np.clip(paper + (90 if paper.mean() < 128 else -90) + rng.uniform(-25, 25, 3), 0, 255)
    cells = (int(rng.integers(1, 12)), int(rng.integers(1, 24)), 3)
    grain = rng.normal(0, rng.choice([4.0, 14.0, 35.0], p=[0.45, 0.35, 0.2]), cells)
    if rng.random() < 0.6:
        grain[...] = grain.mean(axis=2, keepdims=True)
    with_shadow = rng.random() < 0.15
    return Style(
        ink=ink,
        paper=paper,
        grain=grain,
        outline=rng.uniform(0, 255, 3) if rng.random() < 0.1 else None,
        shadow=paper * rng.uniform(0, 0.7) if with_shadow else None,
        shift=rng.uniform(-0.06, 0.06, 2) if with_shadow else None,
        shapes=int(rng.integers(1, 5)) if rng.random() < 0.35 else 0,
        occluded=rng.random() < 0.06,
        seed=int(rng.integers(1 << 31)),
    )
