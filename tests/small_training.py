"""A training of a few seconds; as a script it runs in a process of its own, which can kill itself.

    torchrun --nproc-per-node 2 tests/small_training.py FOLDER [--resume] [--kill-at STEP]

Each process prints a digest of the weights that it trained.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stn_deploy.training import RealWord, Recipe, loop, pool
from stn_deploy.training.batch import Batch
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.learner import Learner
from stn_deploy.training.pool_store import digest_of
from tests.pictures import noise

SMALL = Recipe(
    name="small",
    rendered=256,
    real=256,
    epochs=2,
    batch=32,
    batch_real=4,
    learning_rate=3e-3,
    warm_up=4,
    held_out=2,
    checkpoint_steps=3,
    thumbnail_size=(16, 40),
    control_points=8,
    channels=(8, 8, 8, 8),
    dense=16,
    average=0.9,
    average_epochs=2,
)
"""Sixteen steps, eight in an epoch."""
SHARED = replace(SMALL, rendered=512, real=512, batch=64)
"""The same for two processes."""
QUAD = np.array([[4, 5], [60, 9], [58, 25], [3, 22]], np.float32)


def small_words() -> list[RealWord]:
    return [RealWord(image=noise(30, 70, seed=seed), quad=QUAD, text="a") for seed in range(10)]


_rendered: dict[object, Any] = {}


def render_once(patch: pytest.MonkeyPatch) -> None:
    """Render each picture once for all trainings, with the font that is always there."""
    work = pool._work

    def kept(job: tuple[str, int]) -> Any:
        renderer = pool._renderer
        assert renderer is not None
        key = (renderer.settings, len(renderer.words), job)
        if key not in _rendered:
            _rendered[key] = work(job)
        return _rendered[key]

    patch.setattr(pool, "_work", kept)
    patch.setattr(pool, "find_fonts", lambda: (FALLBACK,))


class Interrupted(Exception):
    """Stands for whatever ends a process."""


@contextmanager
def interrupted_at(step: int) -> Iterator[None]:
    """A training inside does so many steps, and no further."""
    learn = Learner.learn

    def watched(learner: Learner, batch: Batch) -> dict[str, Tensor]:
        if learner.step == step:
            raise Interrupted
        return learn(learner, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "learn", watched)
        with pytest.raises(Interrupted):
            yield


def journal(folder: Path) -> list[dict]:
    """What the metrics say, without the times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ("seconds", "images_per_second")}
        for line in lines
    ]


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--kill-at", type=int)
    options = parser.parse_args()
    learners: list[Learner] = []
    learn = Learner.learn

    def watched(learner: Learner, *batch: object) -> object:
        learners[:] = [learner]
        if learner.step == options.kill_at and os.environ.get("RANK", "1") == "1":  # of two the second
            os.kill(os.getpid(), signal.SIGKILL)
        return learn(learner, *batch)  # type: ignore[arg-type]

    Learner.learn = watched  # type: ignore[method-assign, assignment]
    pool.find_fonts = lambda: (FALLBACK,)  # type: ignore[attr-defined]
    recipe = SHARED if "RANK" in os.environ else SMALL
    loop.train(recipe, options.folder, words=small_words(), processes=1, resume=options.resume)
    weights = [value.detach().numpy() for value in learners[0].objective.parameters()]
    sys.stdout.write(f"weights {digest_of(weights)}\n")


if __name__ == "__main__":
    main()
