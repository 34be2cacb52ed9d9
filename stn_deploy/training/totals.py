"""Means over the steps of an epoch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stn_deploy.training.distributed import Team

_STEPS = "steps"


class Totals:
    """Sums of what the steps gave, on their device, so that no step waits for them."""

    def __init__(self, sums: Mapping[str, float], team: Team) -> None:
        """Begin with sums that `sums` gave, or with none."""
        self._team = team
        start = {_STEPS: 0.0, **sums}
        self._sums = {name: self._wide(torch.tensor(value)) for name, value in start.items()}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the values of a step."""
        for name, value in {**values, _STEPS: torch.tensor(1.0)}.items():
            self._sums[name] = self._sums.get(name, 0) + self._wide(value)

    def sums(self) -> dict[str, float]:
        """The sums so far, averaged over the team; every process must ask."""
        together = self._team.mean(torch.stack(list(self._sums.values()))).tolist()
        return dict(zip(self._sums, together, strict=True))

    def means(self) -> dict[str, float]:
        """The means so far, over the steps and the team; every process must ask."""
        sums = self.sums()
        steps = max(sums.pop(_STEPS), 1.0)
        return {name: value / steps for name, value in sums.items()}

    def _wide(self, value: Tensor) -> Tensor:
        return value.to(self._team.device, torch.float64)
