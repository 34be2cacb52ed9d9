"""Recipes: all that decides what a training gives, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from stn_deploy.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training.

    rendered: words to render. real: variations of real crops, where data with quads is given.
    epochs: passes over the rendered words. batch: rendered words in a step. batch_real: real crops in it.
    learning_rate: peak of a linear warm-up and a cosine decay. weight_decay: of AdamW. clip: of the gradient.
    average: decay of the moving average of the weights; the average is what is kept.
    along_weight, beta: see `stn_deploy.training.loss.point_loss`.
    held_out: real crops kept for validation. seed: of everything.
    thumbnail_size: height and width, pixels. control_points: K. channels, dense: of the network.
    """

    name: str
    rendered: int
    real: int
    epochs: int
    batch: int = 256
    batch_real: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up: int = 300
    clip: float = 2.0
    average: float = 0.998
    along_weight: float = 0.5
    beta: float = 0.1
    held_out: int = 740
    seed: int = 20
    thumbnail_size: tuple[int, int] = (32, 64)
    control_points: int = 20
    channels: tuple[int, ...] = (24, 48, 96, 96)
    dense: int = 128

    def __post_init__(self) -> None:
        for name in ("rendered", "epochs", "batch", "control_points"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"recipe: {name} must be at least 1, got {getattr(self, name)}")
        for name in ("real", "batch_real", "held_out", "warm_up"):
            if getattr(self, name) < 0:
                raise ArgumentError(f"recipe: {name} must not be negative, got {getattr(self, name)}")

    def as_dict(self) -> dict[str, object]:
        """The recipe as plain values."""
        return dataclasses.asdict(self)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="tiny", rendered=2048, real=512, epochs=4, batch=64, batch_real=8, warm_up=20, held_out=64
        ),
        Recipe(name="default", rendered=200_000, real=40_000, epochs=14),
    )
}
"""tiny: half a minute, for tests and first trials. default: what the shipped rectifier was trained by."""


def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        ArgumentError: there is none; the message lists the names.
    """
    if name not in RECIPES:
        raise ArgumentError(f"recipe: expected one of {', '.join(RECIPES)}, got {name!r}")
    return RECIPES[name]
