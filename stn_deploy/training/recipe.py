"""Recipes: all that decides what a training gives, in one frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from stn_deploy.errors import ArgumentError

MODELS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "nano": {"channels": (16, 48, 96, 96), "strides": (2, 2, 2, 1), "dense": 128},
        "small": {"channels": (48, 96, 192, 192), "strides": (2, 2, 2, 1), "dense": 192},
    }
)
"""Localisation networks by name, as settings of `ThumbnailLocalisation`; in a recipe they are fields.

nano: 11 MFLOP, ships. small: 46 MFLOP.
"""


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _counts(value: object) -> bool:
    return isinstance(value, tuple) and all(_whole(count) and count >= 1 for count in value)


_COUNT = ("a whole number, at least 1", lambda value: _whole(value) and value >= 1)
_COUNT_OR_NONE = ("a whole number, at least 0", lambda value: _whole(value) and value >= 0)
_POSITIVE = ("above 0", lambda value: _number(value) and value > 0)
_NOT_NEGATIVE = ("at least 0", lambda value: _number(value) and value >= 0)
_ALLOWED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "rendered": _COUNT,
    "real": _COUNT_OR_NONE,
    "epochs": _COUNT,
    "batch": _COUNT,
    "batch_real": _COUNT_OR_NONE,
    "learning_rate": _POSITIVE,
    "weight_decay": _NOT_NEGATIVE,
    "warm_up": _COUNT_OR_NONE,
    "decay": ("at least 0, at most 1", lambda value: _number(value) and 0 <= value <= 1),
    "clip": _POSITIVE,
    "average": ("at least 0, below 1", lambda value: _number(value) and 0 <= value < 1),
    "average_epochs": _COUNT,
    "real_texture": ("0 to 1", lambda value: _number(value) and 0 <= value <= 1),
    "along_weight": _NOT_NEGATIVE,
    "bending_weight": _NOT_NEGATIVE,
    "foldover_weight": _NOT_NEGATIVE,
    "consistency_weight": _NOT_NEGATIVE,
    "recognition_weight": _NOT_NEGATIVE,
    "texts": _COUNT_OR_NONE,
    "batch_texts": _COUNT_OR_NONE,
    "beta": _POSITIVE,
    "held_out": _COUNT_OR_NONE,
    "checkpoint_steps": _COUNT,
    "seed": _COUNT_OR_NONE,
    "thumbnail_size": ("(height, width), whole pixels", lambda value: _counts(value) and len(value) == 2),
    "control_points": (
        "an even number, 4 to 512",
        lambda value: _whole(value) and 4 <= value <= 512 and value % 2 == 0,
    ),
    "channels": ("a tuple of whole numbers, at least 1", _counts),
    "strides": ("a tuple of whole numbers, at least 1", _counts),
    "dense": _COUNT,
    "dropout": ("at least 0, below 1", lambda value: _number(value) and 0 <= value < 1),
}
"""For each field what is expected, and whether a value is that."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training.

    rendered: words to render. real: variations of real crops, where data with quads is given.
    epochs: passes over the rendered words. batch: rendered words in a step, of all processes together.
    batch_real: real crops beside them.
    learning_rate: peak of a linear warm-up (warm_up steps) and a cosine. decay: part of the cosine's fall
    that the training goes through; 1 ends at a learning rate of 0. weight_decay: of AdamW.
    clip: longest gradient. average: decay of the moving average of the weights. average_epochs: what is kept
    is the mean of the moving averages after each of so many last epochs.
    real_texture: part of the rendered words that show the pixels of real ones.
    along_weight, beta: of the distance between control points, see `stn_deploy.training.loss.point_loss`; its
    weight is 1, that of the other terms of the loss `stn_deploy.training.objective.Objective` explains.
    texts: crops of which only the text is known, half of them from the data where it has any.
    batch_texts: of them in a step.
    held_out: real crops kept for validation. checkpoint_steps: steps between two states on the disk, which
    each epoch ends with as well. seed: of everything.
    thumbnail_size: height and width, pixels. control_points: K.
    channels, strides, dense, dropout: of the network.
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
    decay: float = 1.0
    clip: float = 2.0
    average: float = 0.998
    average_epochs: int = 1
    real_texture: float = 0.3
    along_weight: float = 0.5
    beta: float = 0.1
    bending_weight: float = 0.0
    foldover_weight: float = 0.0
    consistency_weight: float = 0.0
    recognition_weight: float = 0.0
    texts: int = 0
    batch_texts: int = 0
    held_out: int = 740
    checkpoint_steps: int = 1000
    seed: int = 20
    thumbnail_size: tuple[int, int] = (32, 64)
    control_points: int = 20
    channels: tuple[int, ...] = MODELS["nano"]["channels"]
    strides: tuple[int, ...] = MODELS["nano"]["strides"]
    dense: int = MODELS["nano"]["dense"]
    dropout: float = 0.0

    def __post_init__(self) -> None:
        problems = [
            f"{name}: expected {expected}, got {getattr(self, name)!r}"
            for name, (expected, allowed) in _ALLOWED.items()
            if not allowed(getattr(self, name))
        ]
        problems = problems or list(self._misfits())
        if problems:
            raise ArgumentError(f"recipe {self.name}: " + "; ".join(problems))

    def _misfits(self) -> Iterator[str]:
        """What is wrong with fields that are each within their range."""
        if self.rendered < self.batch:
            yield (
                f"rendered: expected at least a batch of {self.batch}, got {self.rendered}; "
                "render more words, or lower batch"
            )
        if self.recognition_weight and not (self.texts and self.batch_texts):
            yield (
                f"recognition_weight: {self.recognition_weight} needs texts and batch_texts above 0, "
                f"got {self.texts} and {self.batch_texts}"
            )
        elif bool(self.texts) != bool(self.batch_texts):
            yield (
                "texts, batch_texts: expected both above 0, or both 0, "
                f"got {self.texts} and {self.batch_texts}"
            )
        if self.bending_weight and self.control_points < 6:
            yield (
                f"bending_weight: {self.bending_weight} needs control_points of at least 6, "
                f"got {self.control_points}"
            )

    @property
    def network(self) -> dict[str, Any]:
        """The settings of the network as plain values."""
        return {
            "channels": list(self.channels),
            "strides": list(self.strides),
            "dense": self.dense,
            "dropout": self.dropout,
        }

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of `as_dict`, also of one that was JSON in between.

        Raises:
            ArgumentError: a field that is unknown, missing or out of range.
        """
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        try:
            return cls(**plain)
        except TypeError as error:
            raise ArgumentError(f"recipe: {error}; it is of another version of stn-deploy") from error


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="tiny", rendered=2048, real=512, epochs=4, batch=64, batch_real=8, warm_up=20, held_out=64
        ),
        Recipe(
            name="default",
            rendered=260_000,
            real=200_000,
            epochs=16,
            decay=0.6,
            batch=168,
            batch_real=120,
            learning_rate=3e-3,
            warm_up=1000,
            average=0.9998,
            average_epochs=13,
        ),
        Recipe(
            name="large",
            rendered=1_000_000,
            real=1_000_000,
            epochs=20,
            batch=512,
            batch_real=512,
            learning_rate=3e-3,
            warm_up=1000,
            average=0.9995,
            **MODELS["small"],
        ),
    )
}
"""tiny: half a minute, for tests and first trials. default: what the shipped rectifier was trained by.
large: for a GPU."""


def find_recipe(name: str, *, model: str | None = None, seed: int | None = None) -> Recipe:
    """The recipe of a name, with the network and the seed changed where asked for.

    Raises:
        ArgumentError: there is none of this name, or no such model; the message lists the names.
    """
    for what, wanted, known in (("recipe", name, RECIPES), ("model", model, MODELS)):
        if wanted is not None and wanted not in known:
            raise ArgumentError(f"{what}: expected one of {', '.join(known)}, got {wanted!r}")
    recipe = RECIPES[name]
    if model is not None:
        recipe = dataclasses.replace(recipe, **MODELS[model])
    return recipe if seed is None else dataclasses.replace(recipe, seed=seed)
