"""Localisation networks for lines of text: ASTER's, and a small one for edge devices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from stn_deploy.stn.localisation.start import checked_count, checked_input_size, count_features, theta_layer


class AsterLocalisation(nn.Module):
    """Six convolutions 3 x 3 (32-64-128-256-256-256) on a thumbnail of 32 x 64, 512 dense units.

    U may have any size. theta is the last layer of a tenth of the features, which keeps the first steps of
    training small.

    Source: Shi et al. 2018, ASTER, section 3.1, as published.
    """

    THUMBNAIL = (32, 64)

    def __init__(self, channels: int, start: ArrayLike) -> None:
        """Build the network for U of so many channels; ``start``: see `theta_layer`."""
        super().__init__()
        before = checked_count("channels", channels)
        layers: list[nn.Module] = []
        for index, after in enumerate((32, 64, 128, 256, 256, 256)):
            pool = [nn.MaxPool2d(2)] if index else []
            layers += [*pool, nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.features = nn.Sequential(*layers, nn.Flatten())
        inputs = count_features(self.features, (channels, *self.THUMBNAIL))
        self.dense = nn.Sequential(nn.Linear(inputs, 512), nn.BatchNorm1d(512), nn.ReLU())
        self.last = theta_layer(512, start)

    def forward(self, source: Tensor) -> Tensor:
        """theta (n, p) of U (n, c, H, W)."""
        thumbnails = F.interpolate(source, self.THUMBNAIL, mode="bilinear", align_corners=False)
        theta: Tensor = self.last(0.1 * self.dense(self.features(thumbnails)))
        return theta


class DepthwiseLocalisation(nn.Module):
    """Depthwise separable convolutions, for edge devices: 0.1 M parameters on 3 x 32 x 64.

    Every layer has an integer kernel on all engines. Nothing is pooled away: where the strokes are is what
    theta depends on.

    Source: Howard et al. 2017, MobileNets, section 3.
    """

    def __init__(self, input_size: Sequence[int], start: ArrayLike) -> None:
        """Build the network for U of ``input_size`` (c, H, W); ``start``: see `theta_layer`."""
        super().__init__()
        size = checked_input_size(input_size)
        layers = _convolution(size[0], 16, 3, stride=2)
        for before, after, stride in ((16, 32, 2), (32, 32, 1), (32, 48, 2), (48, 48, 1)):
            layers += _convolution(before, before, 3, stride=stride, groups=before)
            layers += _convolution(before, after, 1)
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Linear(count_features(self.features, size), 64)
        self.last = theta_layer(64, start)

    def forward(self, source: Tensor) -> Tensor:
        """theta (n, p) of U (n, c, H, W)."""
        theta: Tensor = self.last(torch.relu(self.dense(self.features(source))))
        return theta


def _convolution(
    before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution, batch norm, ReLU; the padding keeps the size."""
    return [
        nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]
