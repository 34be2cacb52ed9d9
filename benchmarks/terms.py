"""Short trainings that differ in one thing: a term of the loss, or the network; errors on held-out crops."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, count, islice
from time import perf_counter
from typing import Any

import cv2
import torch
from _record import arguments, dataset, keep

from stn_deploy.data import open_dataset
from stn_deploy.training import Recipe, TextWord, load_real_words, load_text_words
from stn_deploy.training.distributed import Team, join_team
from stn_deploy.training.feed import Feed, steps_per_epoch
from stn_deploy.training.learner import Learner
from stn_deploy.training.objective import Objective
from stn_deploy.training.pool import PoolSettings, build_pools
from stn_deploy.training.recipe import MODELS
from stn_deploy.training.rectifier import untrained_rectifier
from stn_deploy.training.text_pool import readable
from stn_deploy.training.validation import Validation, hold_out

BASE = Recipe(
    name="short",
    rendered=65_536,
    real=65_536,
    epochs=1,
    batch=144,
    batch_real=144,
    learning_rate=3e-3,
)
STEPS = 1000
TEXTS: dict[str, Any] = {"texts": 16_384, "batch_texts": 72}
VARIANTS: dict[str, dict[str, Any]] = {
    "points alone": {},
    "points alone, another seed": {"seed": 21},
    "bending, 0.1": {"bending_weight": 0.1},
    "foldover, 1": {"foldover_weight": 1.0},
    "consistency, 0.3": {"consistency_weight": 0.3, **TEXTS},
    "recognition, 0.1": {"recognition_weight": 0.1, **TEXTS},
    "a fourth real, 72 of 288": {"batch": 216, "batch_real": 72},
    "small": dict(MODELS["small"]),
}
"""What each training changes in `BASE`. Their texts: the training sets of IIIT5K and SVT."""


def main() -> None:
    """One pool for all; the batches of a seed are the same in each training."""
    options = arguments(__doc__, limit="rendered words, and as many real crops and texts")
    rendered = min(options.limit or BASE.rendered, BASE.rendered)
    base = replace(BASE, rendered=rendered, real=rendered)
    with open_dataset(dataset(options, "icdar2015_train.zip")) as samples:
        words, _ = load_real_words(samples)
    texts: list[TextWord] = []
    for name in ("iiit5k_train", "svt_train"):
        with open_dataset(dataset(options, f"{name}.zip")) as samples:
            texts += load_text_words(samples)[0]
    training_words, held_out = hold_out(words, base)
    settings = PoolSettings.of(base)
    pools = build_pools(
        settings,
        rendered=base.rendered,
        real=base.real,
        text=min(TEXTS["texts"], rendered),
        words=training_words,
        texts=texts + readable(training_words),
        processes=2,
    )
    validation = Validation.prepare(settings, base, held_out, processes=2)
    rows = []
    with join_team("cpu") as team:
        for name, changes in VARIANTS.items():
            recipe = replace(base, **changes)
            row = {
                "training": name,
                **short_training(recipe, Feed(recipe=recipe, team=team, pools=pools), team),
            }
            row |= validation.measure(row.pop("rectifier"), team.device)
            print(row, flush=True)
            rows.append(row)
    keep("terms", {"recipe": base.as_dict(), "trainings": rows}, trial=options.limit is not None)


def short_training(recipe: Recipe, feed: Feed, team: Team) -> dict[str, Any]:
    """The averaged rectifier, images learnt from, and seconds."""
    torch.manual_seed(recipe.seed)
    steps = min(STEPS, 4 * steps_per_epoch(recipe, team))
    learner = Learner(Objective(untrained_rectifier(recipe), recipe), recipe, team, steps=steps)
    images, started = 0, perf_counter()
    batches = chain.from_iterable(feed.epoch(epoch) for epoch in count())
    for batch in islice(batches, steps):
        learner.learn(batch)
        images += len(batch)
    seconds = round(perf_counter() - started, 1)
    return {"rectifier": learner.average.rectifier, "images": images, "seconds": seconds}


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
