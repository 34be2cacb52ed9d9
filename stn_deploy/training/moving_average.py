"""The moving average of the weights, which is what a training keeps."""

from __future__ import annotations

import copy

import torch

from stn_deploy.training.rectifier import TextRectifier


class MovingAverage:
    """Exponential moving average that forgets its start: its decay rises to the given one as steps go by.

    Attributes:
        rectifier: has the averaged weights, in evaluation mode.
        count: steps that were averaged.
    """

    def __init__(self, rectifier: TextRectifier, decay: float) -> None:
        self.rectifier = copy.deepcopy(rectifier).requires_grad_(False).eval()
        self.decay = decay
        self.count = 0

    @torch.no_grad()
    def update(self, rectifier: TextRectifier) -> None:
        """Take in the weights, and the statistics of batch norm, after a step."""
        keep = min(self.decay, (1 + self.count) / (10 + self.count)) if self.count else 0.0
        current = rectifier.state_dict()
        for name, average in self.rectifier.state_dict().items():
            if average.is_floating_point() and keep:
                average.lerp_(current[name], 1 - keep)
            else:
                average.copy_(current[name])
        self.count += 1
