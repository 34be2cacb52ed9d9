"""One step of gradient descent, and all that it changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stn_deploy.errors import TrainingError
from stn_deploy.training.batch import Batch
from stn_deploy.training.distributed import Team
from stn_deploy.training.moving_average import EpochMean, MovingAverage
from stn_deploy.training.objective import Objective
from stn_deploy.training.precision import Precision
from stn_deploy.training.recipe import Recipe

_OBJECTIVE, _AVERAGE, _KEPT, _OPTIMISER = "objective.", "average.", "kept.", "optimiser."


class Learner:
    """The objective in training.

    Attributes:
        objective: whose weights are trained.
        average: of the rectifier's weights.
        kept: the mean of that average over the last epochs, which is what comes out.
        step: number of steps done.
        steps: of the whole training.
    """

    def __init__(self, objective: Objective, recipe: Recipe, team: Team, *, steps: int) -> None:
        self.objective = objective.to(team.device).train()
        self.recipe = recipe
        self.step, self.steps = 0, steps
        self.average = MovingAverage(self.objective.rectifier, recipe.average)
        self.kept = EpochMean(self.objective.rectifier, recipe.average_epochs)
        self._shared = team.share(self.objective)
        self._precision = Precision(team.device)
        self._optimiser = torch.optim.AdamW(self.objective.parameters(), weight_decay=recipe.weight_decay)

    def learning_rate(self, step: int) -> float:
        """Of a step (from 0): a linear warm-up under a cosine decay."""
        warm_up = min(self.recipe.warm_up, self.steps // 5 + 1)
        rise = (step + 1) / warm_up if warm_up else 1.0
        return self.recipe.learning_rate * min(
            rise, 0.5 * (1 + math.cos(math.pi * self.recipe.decay * step / self.steps))
        )

    def learn(self, batch: Batch) -> dict[str, Tensor]:
        """Do one step.

        Returns:
            the loss, detached, and its terms as loss_<name>.
        Raises:
            TrainingError: the loss or its gradient is not finite.
        """
        with self._precision.autocast():
            terms: dict[str, Tensor] = self._shared(batch)
        loss = torch.stack(list(terms.values())).sum()
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self._optimiser.zero_grad()
        self._precision.backward(loss, self._optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self.objective.parameters(), self.recipe.clip)
        self._check(loss, norm)
        self._precision.step(self._optimiser)
        self.average.update(self.objective.rectifier)
        self.step += 1
        return {"loss": loss.detach(), **{f"loss_{name}": term.detach() for name, term in terms.items()}}

    def close_epoch(self) -> None:
        """Take the average after the last step of an epoch into what is kept."""
        epochs = self.recipe.epochs
        self.kept.update(self.average.rectifier, left=epochs - self.step * epochs // self.steps)

    def _check(self, loss: Tensor, norm: Tensor) -> None:
        found = {"loss": loss.item()}
        if not self._precision.scales:  # where gradients are scaled, the scaler leaves such a step out
            found["length of the gradient"] = norm.item()
        for name, value in found.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"training: the {name} became {value} in step {self.step + 1} of {self.steps}; lower the "
                    f"learning rate (now {self.recipe.learning_rate}) and start again in another folder"
                )

    def tensors(self) -> dict[str, Tensor]:
        """All that later steps depend on, save `counts`."""
        optimiser = self._optimiser.state_dict()["state"]
        return {
            **{_OBJECTIVE + name: value for name, value in self.objective.state_dict().items()},
            **{_AVERAGE + name: value for name, value in self.average.rectifier.state_dict().items()},
            **{_KEPT + name: value for name, value in self.kept.rectifier.state_dict().items()},
            **{
                f"{_OPTIMISER}{index}.{name}": value
                for index, values in optimiser.items()
                for name, value in values.items()
            },
        }

    def counts(self) -> dict[str, Any]:
        """The numbers that belong to `tensors`."""
        return {
            "step": self.step,
            "averaged": self.average.count,
            "kept": self.kept.count,
            "scaler": self._precision.scaler.state_dict(),
        }

    def restore(self, tensors: Mapping[str, Tensor], counts: Mapping[str, Any]) -> None:
        """Take up what `tensors` and `counts` gave.

        Raises:
            RuntimeError: they are of another network.
        """
        self.objective.load_state_dict(_below(_OBJECTIVE, tensors))
        self.average.rectifier.load_state_dict(_below(_AVERAGE, tensors))
        self.kept.rectifier.load_state_dict(_below(_KEPT, tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(_OPTIMISER, tensors).items():
            index, _, part = name.partition(".")
            state.setdefault(int(index), {})[part] = value
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.step, self.average.count, self.kept.count = (
            counts[name] for name in ("step", "averaged", "kept")
        )
        self._precision.scaler.load_state_dict(counts["scaler"])


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
