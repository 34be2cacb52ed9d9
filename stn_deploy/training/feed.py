"""Batches: the same for a seed, a rank and a step, whatever came before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.training.augment import vary_light
from stn_deploy.training.batch import Batch, Texts
from stn_deploy.training.distributed import Team
from stn_deploy.training.pool import CHUNK, Pool, Pools, chunks_of
from stn_deploy.training.recipe import Recipe

_ORDER, _STEP = 2, 3  # streams of random numbers apart from those of the pool


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What one process of a team learns from, in order.

    No random generator lives longer than a step, so that a training which was interrupted goes on with the
    very numbers it would have drawn.
    """

    recipe: Recipe
    team: Team
    pools: Pools

    def epoch(self, epoch: int, *, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), without the first ``skip``."""
        recipe, rank = self.recipe, self.team.rank
        own, own_real = (self.team.split(name, getattr(recipe, name)) for name in ("batch", "batch_real"))
        rendered, real = self.pools.rendered, self.pools.real
        order = np.random.default_rng([recipe.seed, _ORDER, rank, epoch]).permutation(len(rendered))
        steps = steps_per_epoch(recipe, self.team)
        for index in range(skip, steps):
            rng = np.random.default_rng([recipe.seed, _STEP, rank, epoch * steps + index])
            torch.manual_seed(int(rng.integers(2**62)))  # for what draws without a generator, as dropout
            parts = [(rendered, np.sort(order[index * own : (index + 1) * own]))]
            if real is not None and own_real:
                parts.append((real, rng.integers(len(real), size=own_real)))
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            batch = replace(self._batch(parts, generator), texts=self._texts(rng, generator))
            yield batch.to(self.team.device)

    def _texts(self, rng: np.random.Generator, generator: torch.Generator) -> Texts | None:
        pool, own = self.pools.texts, self.team.split("batch_texts", self.recipe.batch_texts)
        if pool is None or not own:
            return None
        picks = rng.integers(len(pool), size=own)
        taken = {name: torch.from_numpy(array[picks]) for name, array in pool.arrays().items()}
        taken["thumbnails"] = vary_light(taken["thumbnails"].float(), generator)
        taken["pictures"] = taken["pictures"].float()
        return Texts(**taken)

    def _batch(self, parts: list[tuple[Pool, NDArray[np.int64]]], generator: torch.Generator) -> Batch:
        def take(name: str) -> torch.Tensor:
            return torch.from_numpy(np.concatenate([getattr(pool, name)[picks] for pool, picks in parts]))

        return Batch(
            thumbnails=vary_light(take("thumbnails").float(), generator),
            sizes=take("sizes"),
            points=take("points"),
        )


def steps_per_epoch(recipe: Recipe, team: Team) -> int:
    """Steps in which the process with the fewest pictures uses each at most once.

    Raises:
        ArgumentError: it has fewer than its part of a batch, or no text to learn from, or a batch cannot be
            shared out.
    """
    own = team.split("batch", recipe.batch)
    team.split("batch_real", recipe.batch_real)
    team.split("batch_texts", recipe.batch_texts)
    fewest = len(chunks_of(recipe.rendered, (team.size - 1, team.size))) * CHUNK
    if fewest < own:
        raise ArgumentError(
            f"recipe: rendered is {recipe.rendered}, which leaves {fewest} (in whole {CHUNK}s) to one "
            f"of {team.size} processes, expected {own}, its part of a batch; render more, or start "
            "fewer processes"
        )
    if recipe.batch_texts:
        reach_all("texts", recipe.texts, team)
    return fewest // own


def reach_all(name: str, count: int, team: Team) -> None:
    """Check that each process has a chunk of a pool.

    Raises:
        ArgumentError: some would have none.
    """
    if len(chunks_of(count)) < team.size:
        raise ArgumentError(
            f"recipe: {name} is {count}, expected more than {CHUNK * (team.size - 1)}, so that each of "
            f"{team.size} processes has some (in whole {CHUNK}s); take more, or start fewer processes"
        )
