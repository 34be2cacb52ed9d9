"""The localisation network of the shipped rectifier."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError


class ThumbnailLocalisation(nn.Module):
    """Small convolutional localisation network for thumbnails of text.

    Four 3 x 3 convolutions with batch norm, flattened (the position of the strokes is the answer, so nothing
    is pooled away), then two dense layers. The shape of the crop, which a thumbnail of fixed size hides,
    joins as log(width / height). The last layer starts at zero: its output is the bias alone.
    """

    def __init__(
        self,
        thumbnail_size: tuple[int, int],
        outputs: int,
        *,
        channels: Sequence[int] = (24, 48, 96, 96),
        strides: Sequence[int] = (2, 2, 2, 1),
        dense: int = 128,
        dropout: float = 0.0,
    ) -> None:
        """Build the network.

        Args:
            thumbnail_size: height and width, pixels; multiples of the product of the strides.
            outputs: number of transformation parameters.
            channels, strides: of the convolutions.
            dense: width of the two dense layers.
            dropout: part of the features that a step of the training hides from them, in [0, 1).
        Raises:
            ArgumentError: sizes that do not divide.
        """
        super().__init__()
        if len(channels) != len(strides):
            raise ArgumentError(
                f"channels: expected one for each of the strides {tuple(strides)}, got {tuple(channels)}"
            )
        height, width = thumbnail_size
        layers: list[nn.Module] = []
        before = 3
        for after, stride in zip(channels, strides, strict=True):
            if height % stride or width % stride:
                raise ArgumentError(
                    f"thumbnail_size: expected multiples of strides {tuple(strides)}, got {thumbnail_size}"
                )
            convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            before, height, width = after, height // stride, width // stride
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected at least 0, below 1, got {dropout!r}")
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        self.reduce = nn.Linear(before * height * width, dense)
        self.combine = nn.Linear(dense + 1, dense)
        self.last = nn.Linear(dense, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Transformation parameters.

        Args:
            thumbnails: (n, 3, h, w), values in [0, 255].
            sizes: (n, 2), height and width of the crops, pixels.
        Returns:
            (n, outputs).
        """
        # Contrast carries no geometry: each thumbnail is brought to mean 0 and spread 1.
        mean = thumbnails.mean(dim=(1, 2, 3), keepdim=True)
        centred = thumbnails - mean
        length = torch.linalg.vector_norm(centred, dim=(1, 2, 3), keepdim=True)
        spread = length / math.sqrt(math.prod(thumbnails.shape[1:]))
        features = self.features(centred * (1 / (spread + 4.0)))
        reduced = torch.relu(self.reduce(features))
        aspect = torch.log(sizes[:, 1:] / sizes[:, :1])
        combined = torch.relu(self.combine(torch.cat([reduced, aspect.to(reduced.dtype)], dim=1)))
        parameters: Tensor = self.last(combined)
        return parameters
