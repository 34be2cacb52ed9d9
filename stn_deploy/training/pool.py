"""The pool of training pictures: rendered on all cores, kept as thumbnails with their truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import thumbnail_batch
from stn_deploy.geometry import normalised_from_pixels
from stn_deploy.training.flat import flat_from_quad, random_flat_text
from stn_deploy.training.fonts import FALLBACK, find_fonts
from stn_deploy.training.pool_store import PoolStore, digest_of, digest_of_words
from stn_deploy.training.real import RealWord, vary_real_word
from stn_deploy.training.recipe import Recipe
from stn_deploy.training.recogniser import refusal
from stn_deploy.training.scene import Scene, random_scene
from stn_deploy.training.text_pool import TextPool, TextWord
from stn_deploy.training.warp import random_warp
from stn_deploy.training.workers import results_in_order

CHUNK = 256
"""Pictures per random seed: the pool is the same whatever the number of processes."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Training pictures as the network sees them.

    thumbnails: (N, 3, h, w) uint8. sizes: (N, 2) float32, height and width of the crops, pixels.
    points: (N, K, 2) float32, true control points, normalised.
    """

    thumbnails: NDArray[np.uint8]
    sizes: NDArray[np.float32]
    points: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sizes)

    @classmethod
    def empty(cls, count: int, settings: PoolSettings) -> Pool:
        """Room for pictures."""
        return cls(
            thumbnails=np.empty((count, 3, *settings.thumbnail_size), np.uint8),
            sizes=np.empty((count, 2), np.float32),
            points=np.empty((count, settings.control_points, 2), np.float32),
        )

    def put(self, start: int, part: Pool) -> None:
        """Copy pictures to their place."""
        for name, array in part.arrays().items():
            self.arrays()[name][start : start + len(part)] = array

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by their names."""
        return {"thumbnails": self.thumbnails, "sizes": self.sizes, "points": self.points}


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """What every picture of a pool shares.

    thumbnail_size: height, width. control_points: K. seed: of the whole pool.
    real_texture: part of the rendered words that show real pixels, where real words are given.
    """

    thumbnail_size: tuple[int, int]
    control_points: int
    seed: int
    real_texture: float = 0.15

    @classmethod
    def of(cls, recipe: Recipe) -> PoolSettings:
        """Those of a recipe."""
        return cls(
            thumbnail_size=recipe.thumbnail_size,
            control_points=recipe.control_points,
            seed=recipe.seed,
            real_texture=recipe.real_texture,
        )


def pool_of_scenes(scenes: list[Scene], settings: PoolSettings) -> Pool:
    """Thumbnails and normalised truth of pictures."""
    sizes = np.array([scene.image.shape[:2] for scene in scenes], np.float32)
    pictures = thumbnail_batch([scene.image for scene in scenes], settings.thumbnail_size)
    points = [normalised_from_pixels(scene.points, size) for scene, size in zip(scenes, sizes, strict=True)]
    return Pool(
        thumbnails=np.rint(pictures).astype(np.uint8),
        sizes=sizes,
        points=np.stack(points).astype(np.float32),
    )


@dataclass(frozen=True)
class _Renderer:
    """Draws chunks; lives once in each process."""

    settings: PoolSettings
    fonts: tuple[str, ...]
    words: list[RealWord]
    texts: list[TextWord]

    @cached_property
    def flat_words(self) -> list[RealWord]:
        """Those that their quad makes flat; of curved ones it does not."""
        return [word for word in self.words if word.points is None]

    def rendered(self, chunk: int) -> Pool:
        return pool_of_scenes(self.scenes(chunk, CHUNK), self.settings)

    def scenes(self, chunk: int, count: int) -> list[Scene]:
        rng = np.random.default_rng([self.settings.seed, 0, chunk])
        return [self._render(rng) for _ in range(count)]

    def real(self, chunk: int) -> Pool:
        rng = np.random.default_rng([self.settings.seed, 1, chunk])
        picks = rng.integers(len(self.words), size=CHUNK)
        count = self.settings.control_points
        scenes = [vary_real_word(rng, self.words[pick], count=count) for pick in picks]
        return pool_of_scenes(scenes, self.settings)

    def text(self, chunk: int) -> TextPool:
        """Half from the data, half rendered; all rendered where the data has none."""
        rng = np.random.default_rng([self.settings.seed, 4, chunk])
        picked = [self._text(rng) for _ in range(CHUNK)]
        return TextPool.of(picked, self.settings.thumbnail_size)

    def _text(self, rng: np.random.Generator) -> TextWord:
        if self.texts and rng.random() < 0.5:
            return self.texts[rng.integers(len(self.texts))]
        while True:
            scene = self._render(rng)
            if refusal(scene.word) is None:
                return TextWord(image=scene.image, text=scene.word)

    def _render(self, rng: np.random.Generator) -> Scene:
        while True:
            if self.flat_words and rng.random() < self.settings.real_texture:
                word = self.flat_words[rng.integers(len(self.flat_words))]
                flat = flat_from_quad(word.image, word.quad, word.text)
            else:
                flat = random_flat_text(rng, self.fonts, float(rng.choice([16, 33, 56], p=[0.4, 0.4, 0.2])))
            scene = random_scene(rng, flat, random_warp(rng, flat.length), count=self.settings.control_points)
            if np.isfinite(scene.points).all():
                return scene


_renderer: _Renderer | None = None


def _start(
    settings: PoolSettings, fonts: tuple[str, ...], words: list[RealWord], texts: list[TextWord]
) -> None:
    global _renderer
    cv2.setNumThreads(1)
    _renderer = _Renderer(settings, fonts, words, texts)


def _work(job: tuple[str, int]) -> Pool | TextPool:
    if _renderer is None:
        raise RuntimeError("_start must run first in each process")
    kind, chunk = job
    part: Pool | TextPool = getattr(_renderer, kind)(chunk)
    return part


def made_of(words: list[RealWord], texts: list[TextWord]) -> dict[str, str]:
    """What pools are made of: number and digest of fonts, real words and texts, for comparison."""
    fonts = find_fonts()
    files = [(font, Path(font).stat().st_size if font != FALLBACK else 0) for font in fonts]
    return {
        "fonts": f"{len(fonts)} ({digest_of(files)[:12]})",
        "real words": f"{len(words)} ({digest_of_words(words)[:12]})",
        "texts": f"{len(texts)} ({digest_of_words(texts)[:12]})",
    }


def rendered_scenes(settings: PoolSettings, count: int) -> list[Scene]:
    """The first pictures of the rendered pool of these settings without real words, at most a chunk."""
    return _Renderer(settings, find_fonts(), [], []).scenes(0, min(count, CHUNK))


def chunks_of(count: int, share: tuple[int, int] = (0, 1)) -> range:
    """The chunks that hold so many pictures; of several processes (rank, number), those of one."""
    rank, processes = share
    return range(rank, -(-count // CHUNK), processes)


class Pools(NamedTuple):
    """rendered: rendered words. real: crops of real ones. texts: crops of which only the text is known."""

    rendered: Pool
    real: Pool | None
    texts: TextPool | None


def build_pools(
    settings: PoolSettings,
    *,
    rendered: int,
    real: int = 0,
    text: int = 0,
    words: Sequence[RealWord] = (),
    texts: Sequence[TextWord] = (),
    processes: int,
    progress: Callable[[int], None] = lambda _: None,
    share: tuple[int, int] = (0, 1),
    store: PoolStore | None = None,
) -> Pools:
    """Render the pictures of a training, or read those that were rendered before.

    Args:
        rendered, real, text: number of pictures of each kind, rounded up to whole chunks of 256; where it is
            0, the pool is None.
        words: real words; without any, that pool is None.
        texts: crops of which only the text is known; beside rendered ones they fill half of their pool.
        processes: that render, at least 1; one renders in this process.
        progress: called with the number of pictures after each chunk.
        share: rank and number of the processes that train; each gets its own chunks.
        store: where chunks are kept and looked for.
    Raises:
        OutputError: a chunk cannot be kept, or a process ended before its time.
    """
    counts = {"rendered": rendered, "real": real if words else 0, "text": text}
    chunks = {kind: chunks_of(count, share) for kind, count in counts.items()}
    pools: dict[str, Pool | TextPool] = {
        kind: _empty(kind, len(own) * CHUNK, settings) for kind, own in chunks.items()
    }

    def put(job: tuple[str, int], part: Any) -> None:
        kind, chunk = job
        pools[kind].put(chunks[kind].index(chunk) * CHUNK, part)
        progress(len(part))

    missing = []
    for job in [(kind, chunk) for kind, own in chunks.items() for chunk in own]:
        kept = store.read(_part_name(*job)) if store else None
        if kept is None:
            missing.append(job)
        else:
            put(job, type(pools[job[0]])(**kept))
    arguments = (settings, find_fonts(), list(words), list(texts))
    parts = results_in_order(_work, missing, processes=processes, start=_start, arguments=arguments)
    with closing(parts):
        for job, part in zip(missing, parts, strict=True):
            if store:
                store.write(_part_name(*job), part.arrays())
            put(job, part)
    made: dict[str, Any] = {kind: pool if len(pool) else None for kind, pool in pools.items()}
    return Pools(made["rendered"], made["real"], made["text"])


def _empty(kind: str, count: int, settings: PoolSettings) -> Pool | TextPool:
    return TextPool.empty(count, settings.thumbnail_size) if kind == "text" else Pool.empty(count, settings)


def _part_name(kind: str, chunk: int) -> str:
    return f"{kind}-{chunk:06d}"
