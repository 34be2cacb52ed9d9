"""What most localisation networks are: layers, then dense layers, then theta."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from numpy.typing import ArrayLike
from torch import Tensor, nn

from stn_deploy.stn.localisation.start import check_input, count_features, theta_layer


class LayeredLocalisation(nn.Module):
    """Layers whose output is flattened, dense layers with ReLU, and a last layer that answers with theta."""

    def __init__(
        self,
        input_size: tuple[int, ...],
        layers: Iterable[nn.Module],
        units: Sequence[int],
        start: ArrayLike,
    ) -> None:
        """Build the network.

        Args:
            input_size: (c, H, W) or (c, D, H, W) of U.
            layers: applied to U, one after another.
            units: of the dense layers.
            start: theta before training, see `theta_layer`.
        Raises:
            ArgumentError: an input too small for the layers, or a start that cannot be.
        """
        super().__init__()
        self.input_size = input_size
        self.features = nn.Sequential(*layers, nn.Flatten())
        before = count_features(self.features, input_size)
        for after in units:
            self.features.extend([nn.Linear(before, after), nn.ReLU()])
            before = after
        self.last = theta_layer(before, start)

    def forward(self, source: Tensor) -> Tensor:
        """Theta (n, p) of U (n, *input_size).

        Raises:
            ShapeError: a U of another size.
        """
        check_input(source, self.input_size)
        theta: Tensor = self.last(self.features(source))
        return theta
