"""The folder of a training: what lies in it, and that no training destroys another."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from stn_deploy.errors import OutputError, TrainingError
from stn_deploy.training.recipe import Recipe
from stn_deploy.training.recogniser import LONGEST
from stn_deploy.training.state import Identity, State, read_state
from stn_deploy.training.text_pool import PICTURE_SIZE


@dataclass(frozen=True)
class RunFolder:
    """A folder with the files of one training."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The rectifier with averaged weights, as of the last epoch."""
        return self.path / "checkpoint.safetensors"

    @property
    def state(self) -> Path:
        """What --resume goes on from."""
        return self.path / "state.safetensors"

    @property
    def metrics(self) -> Path:
        """A line of JSON for each epoch."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """A picture for each epoch."""
        return self.path / "samples"

    @property
    def events(self) -> Path:
        """Event files of TensorBoard."""
        return self.path / "tensorboard"

    @property
    def pool(self) -> Path:
        """Rendered pictures, until the training is finished."""
        return self.path / "pool"

    def claim(self, recipe: Recipe, *, real_words: bool) -> None:
        """Make the folder for a new training.

        Args:
            real_words: whether crops of real words will lie in it, too.
        Raises:
            OutputError: it holds a training already, cannot be written, or lacks room.
        """
        if self.state.exists():
            state = read_state(self.state)
            if not state.finished:
                raise OutputError(
                    f"{self.path}: holds an unfinished training (recipe {state.identity.recipe['name']}, "
                    f"step {state.counts['step']} of {state.steps}); go on with --resume, or name another "
                    "folder, or remove this one"
                )
        for file in (self.state, self.checkpoint, self.metrics):
            if file.exists():
                raise OutputError(
                    f"{self.path}: holds a finished training ({file.name}); name another folder, or remove it"
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            trial = self.path / ".writable"
            trial.touch()
            trial.unlink()
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise OutputError(f"{self.path}: the output folder cannot be written ({error})") from error
        needed = _bytes_of_pool(recipe, real_words=real_words)
        if free < needed:
            raise OutputError(
                f"{self.path}: the pictures of the recipe {recipe.name} take {needed / 1e9:.1f} GB while it "
                f"trains, {free / 1e9:.1f} GB are free; make room, or name a folder on another disk"
            )

    def resume(self, identity: Identity) -> State:
        """The state of the training that was interrupted here.

        Raises:
            TrainingError: there is none, or it is another training.
            ArtifactError: it is damaged.
        """
        state = self.found()
        differences = state.identity.differences(identity)
        if differences:
            raise TrainingError(
                f"{self.path}: cannot go on, for this is another training: {'; '.join(differences)}; give "
                "the same recipe, data and number of processes, or start in another folder"
            )
        return state

    def found(self) -> State:
        """The state in this folder.

        Raises:
            TrainingError: there is none.
            ArtifactError: it is damaged.
        """
        if not self.state.is_file():
            raise TrainingError(
                f"{self.path}: holds no training to go on with ({self.state.name} is missing); "
                "start one without --resume"
            )
        return read_state(self.state)


def _bytes_of_pool(recipe: Recipe, *, real_words: bool) -> int:
    picture = 3 * math.prod(recipe.thumbnail_size) + 8  # and its size
    text = picture + math.prod(PICTURE_SIZE) + 8 * LONGEST + 8
    known = recipe.rendered + (recipe.real if real_words else 0)
    return known * (picture + 8 * recipe.control_points) + recipe.texts * text
