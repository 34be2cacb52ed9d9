"""The Spatial Transformer: localisation network, grid generator and sampler."""

from __future__ import annotations

from numpy.typing import ArrayLike
from torch import Tensor, nn

from stn_deploy.geometry import Transform
from stn_deploy.stn.grid_generator import GridGenerator
from stn_deploy.stn.parts import (
    Inspection,
    check_dimensions,
    check_module,
    check_parts,
    constrained_theta,
    inspect_theta,
)
from stn_deploy.stn.sampler import Sampler


class SpatialTransformer(nn.Module):
    """Transforms its input by a theta that it predicts from the input itself.

    It stands anywhere in a network, on images, feature maps or volumes, and needs no supervision of its own.

    Attributes:
        localisation: U -> theta, as given.
        constraint: theta -> theta, as given.
        grid_generator: theta -> grid.
        sampler: U, grid -> V, as given.
    Source: Jaderberg et al. 2015, section 3 and figure 2.
    """

    def __init__(
        self,
        localisation: nn.Module,
        transform: Transform,
        sampler: Sampler,
        output_size: ArrayLike,
        *,
        constraint: nn.Module | None = None,
    ) -> None:
        """Put the three parts together.

        Args:
            localisation: module, U (n, c, H, W) -> theta (n, p).
            transform: such as `stn_deploy.geometry.AFFINE` or ``ThinPlateSpline.on_edges(20)``.
            sampler: such as ``Sampler()``, or ``Sampler("trilinear")`` for volumes.
            output_size: height and width of V, or depth, height and width; pixels.
            constraint: module, theta -> theta, such as `stn_deploy.stn.BoundedScale`.
        Raises:
            ArgumentError: parts that do not go together.
        """
        super().__init__()
        check_parts(sampler, transform)
        check_module("localisation", localisation)
        if constraint is not None:
            check_module("constraint", constraint)
        self.localisation = localisation
        self.constraint = constraint if constraint is not None else nn.Identity()
        self.grid_generator = GridGenerator(transform, output_size)
        self.sampler = sampler

    def theta(self, source: Tensor) -> Tensor:
        """theta (n, p) that the localisation network, and the constraint after it, make of U."""
        check_dimensions(source, self.grid_generator.transform)
        return constrained_theta(self.localisation(source), self.constraint, source)

    def forward(self, source: Tensor) -> Tensor:
        """V (n, c, h, w) of U (n, c, H, W); volumes alike.

        Raises:
            ShapeError, ArgumentError: a source or a theta that does not fit; the message names it.
        """
        output: Tensor = self.sampler(source, self.grid_generator(self.theta(source)))
        return output

    def inspect(self, source: Tensor) -> Inspection:
        """V of U together with theta, grid and corners."""
        return inspect_theta(source, self.theta(source), self.grid_generator, self.sampler)
