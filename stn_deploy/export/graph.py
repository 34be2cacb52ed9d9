"""The module that is exported: a padded batch of decoded images in, straightened text out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_deploy.errors import ArgumentError
from stn_deploy.export.node import theta_grid_sample_node
from stn_deploy.geometry import ThinPlateSpline, target_points
from stn_deploy.geometry.convention import Size
from stn_deploy.stn import GridGenerator
from stn_deploy.training.rectifier import TextRectifier


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
    basis: Tensor

    def __init__(self, rectifier: TextRectifier, output_size: Size) -> None:
        """Wrap a trained rectifier for a fixed output size (height, width) in pixels."""
        super().__init__()
        spec = rectifier.spec
        if min(output_size) < 1:
            raise ArgumentError(f"output size: expected at least 1 x 1 pixels, got {output_size}")
        self.rectifier = rectifier
        self.output_size = output_size
        self.scaling = (spec.mean, spec.std)
        height, width = spec.thumbnail_size
        grid = target_points((2 * height, 2 * width)).reshape(1, 2 * height, 2 * width, 2)
        spline = ThinPlateSpline.on_edges(spec.control_points, kernel_aspect=spec.kernel_aspect)
        grid_generator = GridGenerator(spline, output_size)
        self.register_buffer("thumbnail_grid", torch.from_numpy(grid).float(), persistent=False)
        self.register_buffer("basis", grid_generator.basis, persistent=False)

    def forward(self, images: Tensor, extents: Tensor) -> GraphOutputs:
        """Rectify a batch.

        Args:
            images: (n, H, W, 3) uint8, BGR, each image in the upper left of the canvas with its last row and
                column repeated once into the padding.
            extents: (n, 2) float32, valid fraction (height, width) of the canvas.
        """
        # TensorRT wants the cast to be the first node on a uint8 input.
        canvas = images.to(torch.float32).permute(0, 3, 1, 2)
        sizes = extents * torch.tensor([images.shape[1], images.shape[2]], dtype=torch.float32)
        thumbnails = self._thumbnails(canvas, extents)
        theta, score, _ = self.rectifier(thumbnails, sizes)
        sampled = theta_grid_sample_node(canvas, self.basis, theta, extents, self.output_size)
        mean, std = self.scaling
        return GraphOutputs((sampled - mean) / std, theta, score, thumbnails, sizes)

    def _thumbnails(self, canvas: Tensor, extents: Tensor) -> Tensor:
        grid = (self.thumbnail_grid + 1) * extents.flip(1)[:, None, None, :] - 1
        double = F.grid_sample(canvas, grid, "bilinear", "border", align_corners=False)
        return F.avg_pool2d(double, 2)
