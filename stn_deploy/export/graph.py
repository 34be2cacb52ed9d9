"""The module that is exported: a padded batch of decoded images in, straightened text out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_deploy.artifact import RectifierSpec
from stn_deploy.data import thumbnail_centres
from stn_deploy.errors import ArgumentError
from stn_deploy.export.node import NodeKind
from stn_deploy.export.node.trace import theta_grid_sample_node
from stn_deploy.geometry import TextSpline, target_points
from stn_deploy.geometry.convention import Size
from stn_deploy.training.rectifier import AnyRectifier


class GraphOutputs(NamedTuple):
    """The outputs of the exported file, then the tensors at which the split path cuts it.

    rectified: (n, 3, h, w). theta: (n, K, 2). score: (n,). thumbnails: (n, 3, th, tw). sizes: (n, 2).
    """

    rectified: Tensor
    theta: Tensor
    score: Tensor
    thumbnails: Tensor
    sizes: Tensor


class RectifierGraph(nn.Module):
    """images, extents -> rectified, theta, score (and the tensors between).

    This wrapper exists for tracing alone, so that nothing in the model is written for an exporter's sake. Run
    eagerly it is the torch reference of the exported file.
    """

    thumbnail_grid: Tensor
    thumbnail_offsets: Tensor | None
    basis: Tensor

    def __init__(self, rectifier: AnyRectifier, output_size: Size) -> None:
        """Wrap a trained rectifier for a fixed output size (height, width) in pixels."""
        super().__init__()
        spec = rectifier.spec
        if min(output_size) < 1:
            raise ArgumentError(f"output size: expected at least 1 x 1 pixels, got {output_size}")
        self.rectifier = rectifier
        self.output_size = output_size
        self.scaling = (spec.mean, spec.std)
        self.kind = NodeKind(padding=spec.padding)
        self.input_size = spec.input_size
        centres, offsets = _thumbnail_samples(spec)
        basis = TextSpline.of(spec).pixel_basis(spec.control_points, output_size)
        self.register_buffer("thumbnail_grid", centres, persistent=False)
        self.register_buffer("thumbnail_offsets", offsets, persistent=False)
        self.register_buffer("basis", torch.from_numpy(basis).float(), persistent=False)

    def forward(self, images: Tensor, extents: Tensor) -> GraphOutputs:
        """Rectify a batch.

        Args:
            images: (n, H, W, 3) uint8, BGR, each image in the upper left of the canvas with its last row and
                column repeated once into the padding.
            extents: (n, 2) float32, valid fraction (height, width) of the canvas.
        """
        canvas = _canvas(images)
        sizes = extents * torch.tensor([images.shape[1], images.shape[2]], dtype=torch.float32)
        thumbnails = self._thumbnails(canvas, extents, sizes)
        theta, score, _ = self.rectifier(thumbnails, sizes)
        return GraphOutputs(self._sampled(canvas, theta, extents), theta, score, thumbnails, sizes)

    def sample(self, images: Tensor, extents: Tensor, theta: Tensor) -> Tensor:
        """rectified (n, 3, h, w) of a batch as in `forward`, for a theta (n, K, 2) from elsewhere."""
        return self._sampled(_canvas(images), theta, extents)

    def _sampled(self, canvas: Tensor, theta: Tensor, extents: Tensor) -> Tensor:
        mean, std = self.scaling
        if self.kind.padding == "zeros":  # of the scaled image, as published networks pad it
            canvas = (canvas - mean) / std
        sampled = theta_grid_sample_node(canvas, self.basis, theta, extents, self.output_size, self.kind)
        return sampled if self.kind.padding == "zeros" else (sampled - mean) / std

    def _thumbnails(self, canvas: Tensor, extents: Tensor, sizes: Tensor) -> Tensor:
        """Means of 2 x 2 bilinear samples; the numbers of `stn_deploy.data.thumbnail`."""
        samples = self.thumbnail_grid
        if self.input_size is not None and self.thumbnail_offsets is not None:
            inputs = torch.tensor(self.input_size, dtype=torch.float32)
            spread = (2 - 2 * inputs / sizes).clamp(0, 1)  # see `stn_deploy.data.thumbnails.spread`
            samples = samples + self.thumbnail_offsets * spread.flip(1)[:, None, None, :]
        grid = (samples + 1) * extents.flip(1)[:, None, None, :] - 1
        double = F.grid_sample(canvas, grid, "bilinear", "border", align_corners=False)
        return F.avg_pool2d(double, 2)


def _canvas(images: Tensor) -> Tensor:
    """(n, 3, H, W) float32. TensorRT wants the cast to be the first node on a uint8 input."""
    return images.to(torch.float32).permute(0, 3, 1, 2)


def _thumbnail_samples(spec: RectifierSpec) -> tuple[Tensor, Tensor | None]:
    """Where the 2 x 2 samples of each pixel of the thumbnail lie, normalised, (1, 2 h, 2 w, 2) each.

    Returns:
        positions, and how far full `stn_deploy.data.thumbnails.spread` moves each of them, where it is not
        always full.
    """
    height, width = spec.thumbnail_size
    shape = (1, 2 * height, 2 * width, 2)
    if spec.input_size is None:
        grid = target_points((2 * height, 2 * width)).reshape(shape)
        return torch.from_numpy(grid).float(), None
    axes = [
        (
            np.repeat(thumbnail_centres(count, inputs, align_corners=spec.thumbnail_align_corners), 2),
            np.tile([-1.0, 1.0], count) / (2 * inputs),
        )
        for count, inputs in zip(spec.thumbnail_size, spec.input_size, strict=True)
    ]
    (rows, up_down), (columns, left_right) = axes
    centres, offsets = (
        np.stack(np.meshgrid(xs, ys), axis=-1).reshape(shape)
        for xs, ys in ((columns, rows), (left_right, up_down))
    )
    return torch.from_numpy(centres).float(), torch.from_numpy(offsets).float()
