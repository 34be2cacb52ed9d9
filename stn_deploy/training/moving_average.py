"""Averages of the weights: over the last steps, and of those over the last epochs, which a training keeps."""

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
        _move(self.rectifier, rectifier, part=1 - keep)
        self.count += 1


class EpochMean:
    """Mean of what a rectifier was after each of the last epochs; before these, what it was after the latest.

    A training that goes on learns its few real words by heart, in another way each epoch: the mean of the
    weights forgets more of that than any of them.

    Attributes:
        rectifier: has the mean weights, in evaluation mode.
        count: epochs that are in the mean.
    """

    def __init__(self, rectifier: TextRectifier, epochs: int) -> None:
        self.rectifier = copy.deepcopy(rectifier).requires_grad_(False).eval()
        self.epochs = epochs
        self.count = 0

    @torch.no_grad()
    def update(self, rectifier: TextRectifier, *, left: int) -> None:
        """Take in the weights after an epoch. left: epochs that follow it."""
        self.count = self.count + 1 if left < self.epochs else 0
        _move(self.rectifier, rectifier, part=1 / max(self.count, 1))


def _move(average: TextRectifier, rectifier: TextRectifier, *, part: float) -> None:
    """Move an average towards a rectifier, by a part of the way; 1 is all of it."""
    current = rectifier.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point() and part < 1:
            value.lerp_(current[name], part)
        else:
            value.copy_(current[name])
