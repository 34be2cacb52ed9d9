"""Batches: the same for a seed, a rank and a step, whatever came before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.training.augment import vary_light
from stn_deploy.training.batch import Batch
from stn_deploy.training.distributed import Team
from stn_deploy.training.pool import CHUNK, Pool, chunks_of
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
    rendered: Pool
    real: Pool | None

    def epoch(self, epoch: int, *, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), without the first ``skip``."""
        recipe, rank = self.recipe, self.team.rank
        own, own_real = (self.team.split(name, getattr(recipe, name)) for name in ("batch", "batch_real"))
        order = np.random.default_rng([recipe.seed, _ORDER, rank, epoch]).permutation(len(self.rendered))
        steps = steps_per_epoch(recipe, self.team)
        for index in range(skip, steps):
            rng = np.random.default_rng([recipe.seed, _STEP, rank, epoch * steps + index])
            torch.manual_seed(int(rng.integers(2**62)))  # for what draws without a generator, as dropout
            parts = [(self.rendered, np.sort(order[index * own : (index + 1) * own]))]
            if self.real is not None and own_real:
                parts.append((self.real, rng.integers(len(self.real), size=own_real)))
            yield self._batch(parts, torch.Generator().manual_seed(int(rng.integers(2**62))))

    def _batch(self, parts: list[tuple[Pool, NDArray[np.int64]]], generator: torch.Generator) -> Batch:
        def take(name: str) -> torch.Tensor:
            return torch.from_numpy(np.concatenate([getattr(pool, name)[picks] for pool, picks in parts]))

        batch = Batch(
            thumbnails=vary_light(take("thumbnails").float(), generator),
            sizes=take("sizes"),
            points=take("points"),
        )
        return batch.to(self.team.device)


def steps_per_epoch(recipe: Recipe, team: Team) -> int:
    """Steps in which the process with the fewest pictures uses each at most once.

    Raises:
        ArgumentError: it has fewer than its part of a batch, or a batch cannot be shared out.
    """
    own = team.split("batch", recipe.batch)
    team.split("batch_real", recipe.batch_real)
    fewest = len(chunks_of(recipe.rendered, (team.size - 1, team.size))) * CHUNK
    if fewest < own:
        raise ArgumentError(
            f"recipe: rendered is {recipe.rendered}, which leaves {fewest} (in whole {CHUNK}s) to one "
            f"of {team.size} processes, expected {own}, its part of a batch; render more, or start "
            "fewer processes"
        )
    return fewest // own
