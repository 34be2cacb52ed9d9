"""The rectifier of TRBA (Baek et al. 2019) in torch, written from its published description: the rival.

Architecture as clovaai/deep-text-recognition-benchmark has it: the whole RGB input of 32 x 100 goes through
four 3 x 3 convolutions 64-128-256-512 with batch norm, pooling between, a mean over what is left and a dense
layer of 256; twenty control points, an unfolded thin-plate spline, output 32 x 100. Random weights: only its
speed is measured.
"""

from __future__ import annotations

import numpy as np
import torch
from _aster import unfolded_spline
from torch import Tensor, nn
from torch.nn import functional as F

INPUT = OUTPUT = (32, 100)
POINTS = 20


class Trba(nn.Module):
    """32 x 100 images (n, 3, 32, 100) in [-1, 1] -> straightened ones of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for index, after in enumerate((64, 128, 256, 512)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2) if index < 3 else nn.AdaptiveAvgPool2d(1)]
            before = after
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Sequential(nn.Linear(512, 256), nn.ReLU(inplace=True))
        self.points = nn.Linear(256, 2 * POINTS)
        nn.init.zeros_(self.points.weight)
        x = np.tile(np.linspace(-1, 1, POINTS // 2), 2)
        y = np.repeat([-1.0, 1.0], POINTS // 2)
        control = np.stack([x, y], axis=1)
        # Its own start, a slope, so that the sampler has something to do.
        slope = control + np.stack(
            [np.zeros(POINTS), np.tile(np.linspace(0.4, -0.4, POINTS // 2), 2)], axis=1
        )
        self.points.bias.data = torch.from_numpy(slope.reshape(-1)).float()
        rows, columns = np.mgrid[: OUTPUT[0], : OUTPUT[1]]
        target = np.stack(
            [(2 * columns + 1) / OUTPUT[1] - 1, (2 * rows + 1) / OUTPUT[0] - 1], axis=-1
        ).reshape(-1, 2)
        inverse, right = unfolded_spline(control, target)
        self.inverse: Tensor
        self.right: Tensor
        self.register_buffer("inverse", torch.from_numpy(inverse).float())
        self.register_buffer("right", torch.from_numpy(right).float())

    def forward(self, images: Tensor) -> Tensor:
        control = self.points(self.dense(self.features(images))).reshape(-1, POINTS, 2)
        padded = torch.cat([control, control.new_zeros(len(control), 3, 2)], dim=1)
        coordinates = torch.matmul(self.right, torch.matmul(self.inverse, padded))
        grid = coordinates.reshape(-1, *OUTPUT, 2)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=True)
