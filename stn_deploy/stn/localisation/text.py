"""Localisation networks for lines of text: ASTER's, and a small one for edge devices."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from stn_deploy.errors import ShapeError
from stn_deploy.stn.checks import check_source
from stn_deploy.stn.localisation.layered import LayeredLocalisation
from stn_deploy.stn.localisation.start import (
    checked_count,
    checked_input_size,
    count_features,
    theta_layer,
)


class AsterLocalisation(nn.Module):
    """Six convolutions 3 x 3 (32-64-128-256-256-256) on a thumbnail of 32 x 64, 512 dense units.

    U may have any size. theta is the last layer of a tenth of the features, which keeps the first steps of
    training small. Batch norm needs at least two images in a training batch.

    Source: Shi et al. 2018, ASTER, section 3.1, as published.
    """

    THUMBNAIL = (32, 64)

    def __init__(self, channels: int, start: ArrayLike) -> None:
        """Build the network.

        Args:
            channels: c of U.
            start: theta before training, see `theta_layer`.
        Raises:
            ArgumentError: a number of channels or a start that cannot be.
        """
        super().__init__()
        self.channels = before = checked_count("channels", channels)
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
        """Theta (n, p) of U (n, c, H, W); ShapeError for a U of another shape."""
        check_source(source)
        if source.ndim != 4 or source.shape[1] != self.channels:
            raise ShapeError(f"source: expected (n, {self.channels}, H, W), got {tuple(source.shape)}")
        thumbnails = F.interpolate(source, self.THUMBNAIL, mode="bilinear", align_corners=False)
        theta: Tensor = self.last(0.1 * self.dense(self.features(thumbnails)))
        return theta


class DepthwiseLocalisation(LayeredLocalisation):
    """Depthwise separable convolutions, for edge devices: 0.1 M parameters on 3 x 32 x 64.

    Nothing is pooled away: where the strokes are is what theta depends on.

    Source: Howard et al. 2017, MobileNets, section 3.
    """

    def __init__(self, input_size: Sequence[int], start: ArrayLike) -> None:
        """Build the network.

        Args:
            input_size: (c, H, W) of U.
            start: theta before training, see `theta_layer`.
        Raises:
            ArgumentError: a size or a start that cannot be.
        """
        size = checked_input_size(input_size)
        layers = _convolution(size[0], 16, 3, stride=2)
        for before, after, stride in ((16, 32, 2), (32, 32, 1), (32, 48, 2), (48, 48, 1)):
            layers += _convolution(before, before, 3, stride=stride, groups=before)
            layers += _convolution(before, after, 1)
        super().__init__(size, layers, [64], start)


def _convolution(
    before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution, batch norm, ReLU; the padding keeps the size."""
    return [
        nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]
