"""The Spatial Transformer: localisation network, grid generator and sampler in one module."""

from __future__ import annotations

from torch import Tensor, nn

from stn_deploy.stn.grid_generator import GridGenerator
from stn_deploy.stn.sampler import Sampler


class SpatialTransformer(nn.Module):
    """Transforms its input by a theta that it predicts from the input itself.

    Args:
        localisation: module, U (n, c, H, W) -> theta (n, K, 2).
        grid_generator: theta -> grid (n, h, w, 2).
        sampler: U, grid -> V; bilinear with border padding by default.
    Source: Jaderberg et al. 2015, figure 2.
    """

    def __init__(
        self, localisation: nn.Module, grid_generator: GridGenerator, sampler: Sampler | None = None
    ) -> None:
        super().__init__()
        self.localisation = localisation
        self.grid_generator = grid_generator
        self.sampler = sampler if sampler is not None else Sampler()

    def forward(self, source: Tensor) -> Tensor:
        """V (n, c, h, w) of U (n, c, H, W)."""
        theta: Tensor = self.localisation(source)
        transformed: Tensor = self.sampler(source, self.grid_generator(theta))
        return transformed
