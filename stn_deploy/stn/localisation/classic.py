"""The localisation networks of the paper and of the traffic-sign experiments that followed it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from stn_deploy.stn.localisation.layered import LayeredLocalisation
from stn_deploy.stn.localisation.start import (
    check_input,
    checked_count,
    checked_input_size,
    count_features,
    theta_layer,
)


class FullyConnectedLocalisation(LayeredLocalisation):
    """Two dense layers of 32 units: for small images, feature maps and volumes.

    Source: Jaderberg et al. 2015, section 4.1 (ST-FCN) and 4.2 (ST-CNN Multi).
    """

    def __init__(self, input_size: Sequence[int], start: ArrayLike, *, units: int = 32) -> None:
        """Build the network.

        Args:
            input_size: (c, H, W) or (c, D, H, W) of U.
            start: theta before training, see `theta_layer`.
            units: of both layers.
        Raises:
            ArgumentError: a size, a start or a number of units that cannot be.
        """
        size, units = checked_input_size(input_size, (2, 3)), checked_count("units", units)
        super().__init__(size, [], [units, units], start)


class ConvolutionalLocalisation(LayeredLocalisation):
    """Four layers: two convolutions 5 x 5 of 32 filters, each pooled, and two dense layers of 32 units.

    Source: Jaderberg et al. 2015, section 4.2 (ST-CNN Single, house numbers).
    """

    def __init__(self, input_size: Sequence[int], start: ArrayLike) -> None:
        """Build the network.

        Args:
            input_size: (c, H, W) of U, at least 4 x 4 pixels.
            start: theta before training, see `theta_layer`.
        Raises:
            ArgumentError: a size or a start that cannot be.
        """
        size = checked_input_size(input_size)
        layers = [
            *(nn.Conv2d(size[0], 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        ]
        super().__init__(size, layers, [32, 32], start)


class LeNetLocalisation(LayeredLocalisation):
    """LeNet on half an image: pool, convolution 5 x 5 of 20 filters, pool, the same again, 50 dense units.

    Source: Jaderberg et al. 2015, section 4.1 (ST-CNN) and appendix.
    """

    def __init__(self, input_size: Sequence[int], start: ArrayLike) -> None:
        """Build the network.

        Args:
            input_size: (c, H, W) of U, at least 28 x 28 pixels.
            start: theta before training, see `theta_layer`.
        Raises:
            ArgumentError: a size or a start that cannot be.
        """
        size = checked_input_size(input_size)
        layers = [
            *(nn.MaxPool2d(2), nn.Conv2d(size[0], 20, 5), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Conv2d(20, 20, 5), nn.ReLU()),
        ]
        super().__init__(size, layers, [50], start)


class MultiScaleLocalisation(nn.Module):
    """Convolutions 5 x 5 of 100 and 200 filters, pooled features of both side by side, 100 dense units.

    The first layer knows where things are, the second what they are; the features of the first are pooled
    once more, to the size of the second.

    Source: after IDSIA's traffic-sign network (Ciresan et al. 2012) with the multi-scale features of Sermanet
    and LeCun 2011, as the spatial transformers for the German traffic signs use them.
    """

    def __init__(self, input_size: Sequence[int], start: ArrayLike) -> None:
        """Build the network.

        Args:
            input_size: (c, H, W) of U, at least 4 x 4 pixels.
            start: theta before training, see `theta_layer`.
        Raises:
            ArgumentError: a size or a start that cannot be.
        """
        super().__init__()
        self.input_size = checked_input_size(input_size)
        self.first = nn.Sequential(
            nn.Conv2d(self.input_size[0], 100, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.second = nn.Sequential(nn.Conv2d(100, 200, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        places = count_features(nn.Sequential(self.first, self.second), self.input_size) // 200
        self.dense = nn.Linear((100 + 200) * places, 100)
        self.last = theta_layer(100, start)

    def forward(self, source: Tensor) -> Tensor:
        """Theta (n, p) of U (n, c, H, W); ShapeError for a U of another size."""
        check_input(source, self.input_size)
        fine = self.first(source)
        scales = [F.max_pool2d(fine, 2), self.second(fine)]
        joined = torch.cat([scale.flatten(1) for scale in scales], dim=1)
        theta: Tensor = self.last(torch.relu(self.dense(joined)))
        return theta
