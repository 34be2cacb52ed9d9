"""The fused kernels inside a Spatial Transformer."""

from __future__ import annotations

from torch import Tensor, nn

from stn_deploy.errors import ArgumentError
from stn_deploy.plugins.operators.functions import theta_grid_sample
from stn_deploy.stn import GridGenerator, Sampler, SpatialTransformer
from stn_deploy.stn.parts import check_dimensions, constrained_theta


def warp(source: Tensor, theta: Tensor, grid_generator: GridGenerator, sampler: Sampler) -> Tensor:
    """``sampler(source, grid_generator(theta))``, fused.

    Args:
        source: U, (n, c, H, W) or (n, c, D, H, W).
        theta: (n, p), as for the grid generator.
        grid_generator, sampler: what says which transform, which output size, which mode and padding.
    Returns:
        V, (n, c, h, w) or (n, c, d, h, w).
    Raises:
        ArgumentError, ShapeError: as both parts raise them; a sampler with antialias.
    """
    if sampler.antialias:
        raise ArgumentError("sampler: expected antialias=False, got True, which takes several samples")
    columns = grid_generator.coefficients(theta).transpose(1, 2)
    return theta_grid_sample(
        source,
        grid_generator.basis,
        columns,
        output_size=grid_generator.output_size,
        mode=sampler.mode,
        padding=sampler.padding,
        homogeneous=grid_generator.transform.homogeneous,
    )


class FusedSpatialTransformer(nn.Module):
    """A `SpatialTransformer` whose grid generator and sampler are one kernel on a GPU.

    It shares the parts of the one that it is made of, under the same names: it trains the same weights, and
    checkpoints of either load into the other.

    Attributes:
        localisation, constraint, grid_generator, sampler: see `SpatialTransformer`.
    """

    def __init__(self, transformer: SpatialTransformer) -> None:
        """Take the parts of a transformer.

        Raises:
            ArgumentError: it is none, or its sampler has antialias.
        """
        super().__init__()
        if not isinstance(transformer, SpatialTransformer):
            raise ArgumentError(f"transformer: expected a SpatialTransformer, got {transformer!r}")
        if transformer.sampler.antialias:
            raise ArgumentError(
                "transformer: expected a sampler with antialias=False, got True, which takes several samples"
            )
        self.localisation = transformer.localisation
        self.constraint = transformer.constraint
        self.grid_generator = transformer.grid_generator
        self.sampler = transformer.sampler

    def theta(self, source: Tensor) -> Tensor:
        """theta (n, p) that the localisation network, and the constraint after it, make of U."""
        check_dimensions(source, self.grid_generator.transform)
        return constrained_theta(self.localisation(source), self.constraint, source)

    def forward(self, source: Tensor) -> Tensor:
        """V (n, c, h, w) of U (n, c, H, W); volumes alike.

        Raises:
            ShapeError, ArgumentError: a source or a theta that does not fit; the message names it.
        """
        return warp(source, self.theta(source), self.grid_generator, self.sampler)
