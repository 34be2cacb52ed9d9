"""A training on the disk, whole: what it is, how far it came, and every number that its next step needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stn_deploy import __version__
from stn_deploy.data import write_whole
from stn_deploy.errors import ArtifactError, OutputError
from stn_deploy.training.recipe import Recipe

STATE_KEY = "stn_deploy.training"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a training that goes on must have in common with the one that was interrupted.

    recipe: its fields. made_of: fonts, real words and texts, see `stn_deploy.training.pool.made_of`.
    processes: that train together. version: of stn-deploy.
    """

    recipe: Mapping[str, Any]
    made_of: Mapping[str, str]
    processes: int
    version: str = __version__

    def differences(self, other: Identity) -> list[str]:
        """What the other has instead, one text each."""
        own, others = self._flat(), other._flat()
        return [
            f"{name} was {own.get(name)} and is {others.get(name)}"
            for name in {**own, **others}
            if own.get(name) != others.get(name)
        ]

    def _flat(self) -> dict[str, Any]:
        recipe = json.loads(json.dumps(dict(self.recipe)))  # tuples are lists once they were saved
        return {**recipe, **self.made_of, "processes": self.processes, "version of stn-deploy": self.version}


@dataclass(frozen=True, kw_only=True)
class State:
    """A training between two steps.

    identity: see `Identity`. sources: where words and texts came from. steps: of the whole training.
    counts, tensors: of the `stn_deploy.training.learner.Learner`. totals: of the epoch that is under way.
    seconds: since the start, without interruptions.
    """

    identity: Identity
    sources: list[str]
    steps: int
    counts: Mapping[str, Any]
    totals: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return bool(self.counts["step"] >= self.steps)

    def recipe(self) -> Recipe:
        """The recipe of the training."""
        return Recipe.from_dict(self.identity.recipe)


def write_state(state: State, path: Path) -> None:
    """Write a state: all of it, or nothing.

    Raises:
        OutputError: the file cannot be written; an older one is as it was.
    """
    identity = state.identity
    header = {
        "identity": {
            "recipe": dict(identity.recipe),
            "made_of": dict(identity.made_of),
            "processes": identity.processes,
            "version": identity.version,
        },
        **{name: getattr(state, name) for name in ("sources", "steps", "counts", "totals", "seconds")},
    }
    tensors = {name: value.contiguous() for name, value in state.tensors.items()}
    try:
        write_whole(path, save(tensors, metadata={STATE_KEY: json.dumps(header)}), durable=True)
    except OSError as error:
        raise OutputError(
            f"{path}: the state of the training could not be written ({error.strerror or error}); the last "
            "one is intact, so make room and go on with --resume"
        ) from error


def read_state(path: Path) -> State:
    """The state that `write_state` wrote.

    Raises:
        ArtifactError: not a state of ours, or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})[STATE_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        identity = Identity(**header.pop("identity"))
        return State(identity=identity, tensors=tensors, **header)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: not a readable state of a training ({error}); start again in another folder"
        ) from error
