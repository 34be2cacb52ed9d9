"""What the training makes small: the weighted terms of the loss, and the networks that they need."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stn_deploy.geometry import ThinPlateSpline
from stn_deploy.stn import GridGenerator, sample
from stn_deploy.training.batch import Batch, Texts
from stn_deploy.training.consistency import random_views, seen_points, straightened_points, view
from stn_deploy.training.gate import with_margin
from stn_deploy.training.loss import bending_energy, foldover, point_loss
from stn_deploy.training.recipe import Recipe
from stn_deploy.training.recogniser import INPUT_SIZE, Recogniser, recognition_loss
from stn_deploy.training.rectifier import TextRectifier


class Objective(nn.Module):
    """The weighted terms of the loss; all that is trained is a submodule of it.

    points: distance from the true control points. bending, foldover: of the predicted text lines.
    recognition: of a recogniser that reads the straightened crops, for crops of which the text is known.
    consistency: a known change of the crop moves the prediction by just that, and a straightened crop is
    straight. A term whose weight in the recipe is 0 is left out and costs nothing.
    """

    def __init__(self, rectifier: TextRectifier, recipe: Recipe) -> None:
        super().__init__()
        self.rectifier = rectifier
        self.recipe = recipe
        spline = ThinPlateSpline.on_edges(recipe.control_points, kernel_aspect=rectifier.spec.kernel_aspect)
        if recipe.recognition_weight:
            self.recogniser = Recogniser()
            self.crop_grid = GridGenerator(spline, INPUT_SIZE)
        if recipe.consistency_weight:
            self.thumbnail_grid = GridGenerator(spline, recipe.thumbnail_size)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The terms, each a scalar in float32; the loss is their sum."""
        recipe, texts = self.recipe, batch.texts
        thumbnails, sizes = batch.thumbnails, batch.sizes
        lines = self.rectifier.predict_lines(thumbnails, sizes)
        with torch.autocast(lines.device.type, enabled=False):
            points = self.rectifier.points_of(lines)  # in sixteen bits a straight line bends
            terms = {"points": self._distance(points, batch.points, sizes)}
            if recipe.bending_weight:
                terms["bending"] = recipe.bending_weight * bending_energy(points, sizes).mean()
            if recipe.foldover_weight:
                terms["foldover"] = recipe.foldover_weight * foldover(points, sizes).mean()
        if texts is not None and (recipe.recognition_weight or recipe.consistency_weight):
            text_lines = self.rectifier.predict_lines(*texts.seen)
            if recipe.recognition_weight:
                terms["recognition"] = recipe.recognition_weight * self._recognition(texts, text_lines)
            thumbnails, sizes = torch.cat([thumbnails, texts.thumbnails]), torch.cat([sizes, texts.sizes])
            lines = torch.cat([lines, text_lines])
        if recipe.consistency_weight:
            consistency = self._consistency(thumbnails, sizes, lines.detach())
            terms["consistency"] = recipe.consistency_weight * consistency
        return terms

    def _distance(self, points: Tensor, truth: Tensor, sizes: Tensor) -> Tensor:
        settings = {"along_weight": self.recipe.along_weight, "beta": self.recipe.beta}
        return point_loss(points, truth, sizes, **settings)

    def _recognition(self, texts: Texts, lines: Tensor) -> Tensor:
        """Straighten with the margin that ships, read, compare."""
        with torch.autocast(lines.device.type, enabled=False):
            points = self.rectifier.points_of(lines)
            theta = with_margin(lines, points, texts.sizes, self.rectifier.spec.margin)
            crops = sample(texts.pictures, self.crop_grid(theta.flatten(1)))
        logits = self.recogniser(crops)
        with torch.autocast(logits.device.type, enabled=False):
            return recognition_loss(logits, texts.labels, texts.lengths)

    def _consistency(self, thumbnails: Tensor, sizes: Tensor, lines: Tensor) -> Tensor:
        """Two views of the crops; what the first look found is the truth for the second, not the reverse.

        Crops of which only the text is known take part as well: here they need no label.
        """
        margin = self.rectifier.spec.margin
        with torch.autocast(lines.device.type, enabled=False):
            points = self.rectifier.points_of(lines)
            moved, moved_sizes = random_views(sizes)
            theta = with_margin(lines, points, sizes, margin)
            straight, straight_sizes = straightened_points(points, sizes, margin)
            seen = [view(thumbnails, moved), sample(thumbnails, self.thumbnail_grid(theta.flatten(1)))]
            seen_sizes = torch.cat([moved_sizes, straight_sizes])
            truth = torch.cat([seen_points(points, moved), straight])
        found = self.rectifier.predict_lines(torch.cat(seen), seen_sizes)
        with torch.autocast(found.device.type, enabled=False):
            return self._distance(self.rectifier.points_of(found), truth, seen_sizes)
