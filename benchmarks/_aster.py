"""The rectifier of ASTER (Shi et al. 2018) in torch, written from its published description: the rival.

Architecture as ASTER.pytorch and MMOCR have it: thumbnail 32 x 64 of a 64 x 256 input, six 3 x 3 convolutions
32-64-128-256-256-256 with batch norm and pooling between, dense 512, twenty control points, an unfolded
thin-plate spline, output 32 x 100. Random weights: only its speed is measured.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

INPUT, THUMBNAIL, OUTPUT, POINTS = (64, 256), (32, 64), (32, 100), 20


class Aster(nn.Module):
    """64 x 256 images (n, 3, 64, 256) in [-1, 1] -> straightened (n, 3, 32, 100)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for index, after in enumerate((32, 64, 128, 256, 256, 256)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            if index < 5:
                layers.append(nn.MaxPool2d(2))
            before = after
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(inplace=True))
        self.points = nn.Linear(512, 2 * POINTS)
        nn.init.zeros_(self.points.weight)
        x = np.tile(np.linspace(0.05, 0.95, POINTS // 2), 2)
        y = np.repeat([0.05, 0.95], POINTS // 2)
        control = np.stack([x, y], axis=1)
        self.points.bias.data = torch.from_numpy(control.reshape(-1)).float()
        rows, columns = np.mgrid[: OUTPUT[0], : OUTPUT[1]]
        target = np.stack([columns / (OUTPUT[1] - 1), rows / (OUTPUT[0] - 1)], axis=-1).reshape(-1, 2)
        inverse, right = unfolded_spline(control, target)
        self.inverse: Tensor
        self.right: Tensor
        self.register_buffer("inverse", torch.from_numpy(inverse).float())
        self.register_buffer("right", torch.from_numpy(right).float())

    def forward(self, images: Tensor) -> Tensor:
        thumbnails = F.interpolate(images, THUMBNAIL, mode="bilinear", align_corners=True)
        hidden = self.dense(self.features(thumbnails))
        control = self.points(0.1 * hidden).reshape(-1, POINTS, 2)
        padded = torch.cat([control, control.new_zeros(len(control), 3, 2)], dim=1)
        coordinates = torch.matmul(self.right, torch.matmul(self.inverse, padded))
        grid = coordinates.reshape(-1, *OUTPUT, 2).clamp(0, 1) * 2 - 1
        return F.grid_sample(images, grid, align_corners=True)


def unfolded_spline(
    control: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two matrices of a thin-plate spline that is not folded into one.

    Args:
        control: (K, 2) control points. target: (P, 2) points of the output.
    Returns:
        (K + 3, K + 3), coefficients from source positions padded with three zeros, kernels first; (P, K + 3),
        points from coefficients.
    """
    count = len(control)
    system = np.zeros((count + 3, count + 3))
    system[:count] = _lifted(control, control)
    system[count:, :count] = system[:count, count:].T
    return np.asarray(np.linalg.inv(system), np.float64), _lifted(target, control)


def _lifted(points: NDArray[np.float64], control: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = ((points[:, None] - control[None]) ** 2).sum(-1)
    kernel = 0.5 * squared * np.log(np.where(squared > 0, squared, 1))
    return np.c_[kernel, np.ones(len(points)), points]
