"""What the training makes small: the weighted terms of the loss, and the networks that they need."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stn_deploy.training.batch import Batch
from stn_deploy.training.loss import point_loss
from stn_deploy.training.recipe import Recipe
from stn_deploy.training.rectifier import TextRectifier


class Objective(nn.Module):
    """The weighted terms of the loss; all that is trained is a submodule of it."""

    def __init__(self, rectifier: TextRectifier, recipe: Recipe) -> None:
        super().__init__()
        self.rectifier = rectifier
        self.recipe = recipe

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The terms, each a scalar in float32; the loss is their sum."""
        predicted = self.rectifier.predict_points(batch.thumbnails, batch.sizes)
        with torch.autocast(predicted.device.type, enabled=False):
            points = point_loss(
                predicted.float(),
                batch.points,
                batch.sizes,
                along_weight=self.recipe.along_weight,
                beta=self.recipe.beta,
            )
        return {"points": points}
