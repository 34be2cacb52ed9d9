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
        recipe = self.recipe
        lines = self.rectifier.predict_lines(batch.thumbnails, batch.sizes)
        points = self.rectifier.points_of(lines)
        with torch.autocast(points.device.type, enabled=False):
            terms = {"points": self._distance(points, batch.points, batch.sizes)}
            if recipe.bending_weight:
                terms["bending"] = recipe.bending_weight * bending_energy(points, batch.sizes).mean()
            if recipe.foldover_weight:
                terms["foldover"] = recipe.foldover_weight * foldover(points, batch.sizes).mean()
        if recipe.recognition_weight and batch.texts is not None:
            terms["recognition"] = recipe.recognition_weight * self._recognition(batch.texts)
        if recipe.consistency_weight:
            terms["consistency"] = recipe.consistency_weight * self._consistency(batch, lines)
        return terms

    def _distance(self, points: Tensor, truth: Tensor, sizes: Tensor) -> Tensor:
        settings = {"along_weight": self.recipe.along_weight, "beta": self.recipe.beta}
        return point_loss(points.float(), truth.float(), sizes, **settings)

    def _recognition(self, texts: Texts) -> Tensor:
        """Straighten with the margin that ships, read, compare."""
        lines = self.rectifier.predict_lines(*texts.seen)
        with torch.autocast(lines.device.type, enabled=False):
            points = self.rectifier.points_of(lines)
            theta = with_margin(lines, points, texts.sizes, self.rectifier.spec.margin)
            crops = sample(texts.pictures, self.crop_grid(theta.flatten(1)))
        odds = self.recogniser(crops)
        with torch.autocast(odds.device.type, enabled=False):
            return recognition_loss(odds, texts.labels, texts.lengths)

    def _consistency(self, batch: Batch, lines: Tensor) -> Tensor:
        """Two views of the crops; what the first look found is the truth for the second, not the reverse.

        Crops of which only the text is known take part as well: here they need no label.
        """
        thumbnails, sizes, lines = batch.thumbnails, batch.sizes, lines.detach()
        if batch.texts is not None:
            thumbnails = torch.cat([thumbnails, batch.texts.thumbnails])
            sizes = torch.cat([sizes, batch.texts.sizes])
            with torch.no_grad():
                lines = torch.cat([lines, self.rectifier.predict_lines(*batch.texts.seen)])
        points = self.rectifier.points_of(lines)
        moved, moved_sizes = random_views(sizes)
        theta = with_margin(lines, points, sizes, self.rectifier.spec.margin)
        straight, straight_sizes = straightened_points(points, sizes, self.rectifier.spec.margin)
        seen = [view(thumbnails, moved), sample(thumbnails, self.thumbnail_grid(theta.flatten(1)))]
        seen_sizes = torch.cat([moved_sizes, straight_sizes])
        truth = torch.cat([seen_points(points, moved), straight])
        found = self.rectifier.predict_points(torch.cat(seen), seen_sizes)
        return self._distance(found, truth, seen_sizes)
