"""What lies behind the ink, and how the ink is painted on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stn_deploy.geometry.convention import FloatArray


@dataclass(frozen=True, kw_only=True)
class Style:
    """Colours and effects of a picture.

    ink, paper: (3,) BGR in [0, 255]. grain: (n, m, 3) small texture added to the paper, stretched over it.
    fill: (n, m, 3) the same for the ink, or None: a gradient, stripes, wear.
    outline, shadow: (3,) colour or None. shift: (2,) shadow offset, parts of the picture's height.
    seed: of the shapes drawn behind (and, with ``occluded``, across) the text. shapes: their number.
    """

    ink: FloatArray
    paper: FloatArray
    grain: FloatArray
    fill: FloatArray | None = None
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
        picture = _stretched(self.grain, self.paper, alpha.shape)
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
                grown = cv2.dilate(alpha, np.ones((reach, reach), np.uint8))
                picture = _blend(picture, self.outline, np.asarray(grown, np.uint8))
            ink = self.ink if self.fill is None else _stretched(self.fill, self.ink, alpha.shape)
            picture = _blend(picture, ink, alpha)
        if self.occluded:
            _draw_shape(rng, picture)
        return np.clip(picture, 0, 255).astype(np.uint8)


PLAIN = Style(ink=np.zeros(3), paper=np.full(3, 255.0), grain=np.zeros((1, 1, 3)))
"""Black on white."""


def _stretched(texture: FloatArray, colour: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """A colour with a small texture stretched over a picture (h, w, 3)."""
    height, width = shape
    tinted = (texture + colour).astype(np.float32)
    if texture.size == 3:
        return np.full((height, width, 3), tinted.reshape(3), np.float32)
    return np.asarray(cv2.resize(tinted, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _blend(below: FloatArray, above: FloatArray, alpha: NDArray[np.uint8]) -> FloatArray:
    """``above`` over ``below`` (h, w, 3) where ``alpha`` (h, w) covers it."""
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR).astype(np.float32)
    weight *= np.float32(1 / 255)
    above = np.asarray(above, np.float32) - below
    above *= weight
    above += below
    return above


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
    least = 45.0
    if rng.random() < 0.08:  # hardly visible
        least = 25.0
        ink = paper + rng.choice([-1, 1]) * rng.uniform(28, 50) + rng.uniform(-6, 6, 3)
    if abs(ink.mean() - paper.mean()) < least or ink.min() < -20 or ink.max() > 275:
        ink = paper + (90 if paper.mean() < 128 else -90) + rng.uniform(-25, 25, 3)
    ink = np.clip(ink, 0, 255)
    contrast = float(abs(ink.mean() - paper.mean()))
    with_shadow = rng.random() < 0.15
    loudness = rng.choice([4.0, 14.0, 35.0], p=[0.45, 0.35, 0.2])
    return Style(
        ink=ink,
        paper=paper,
        grain=_random_texture(rng, min(loudness, 0.25 * contrast)),
        fill=_random_texture(rng, 0.2 * contrast) if rng.random() < 0.2 else None,
        outline=rng.uniform(0, 255, 3) if rng.random() < 0.12 else None,
        shadow=paper * rng.uniform(0, 0.7) if with_shadow else None,
        shift=rng.uniform(-0.06, 0.06, 2) if with_shadow else None,
        shapes=int(rng.integers(1, 5)) if rng.random() < 0.35 else 0,
        occluded=rng.random() < 0.06,
        seed=int(rng.integers(1 << 31)),
    )


def _random_texture(rng: Generator, deviation: float) -> FloatArray:
    """Blotches, a gradient or stripes (n, m, 3) of a standard deviation; grey or coloured."""
    kind = rng.random()
    if kind < 0.6:
        texture = rng.normal(0, deviation, (int(rng.integers(1, 12)), int(rng.integers(1, 24)), 3))
    elif kind < 0.85:
        texture = rng.normal(0, 1.4 * deviation, (2, 2, 3))
    else:
        stripes = np.tile(rng.normal(0, deviation, (2, 1, 3)), (int(rng.integers(2, 12)), 1, 1))
        texture = stripes if rng.random() < 0.5 else stripes.transpose(1, 0, 2)
    if rng.random() < 0.6:
        texture[...] = texture.mean(axis=2, keepdims=True) * 1.7
    return np.asarray(texture, np.float64)
