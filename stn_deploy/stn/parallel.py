"""Several transformers on one input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar, cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import Transform
from stn_deploy.stn.checks import check_tensor
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

Kind = TypeVar("Kind")


class ParallelSpatialTransformer(nn.Module):
    """Several transformers on one input; their outputs are stacked by channel, in order.

    Source: Jaderberg et al. 2015, section 4.3 (2 x and 4 x ST-CNN) and appendix (MNIST addition).
    """

    def __init__(
        self,
        localisation: nn.Module | Sequence[nn.Module],
        transforms: Sequence[Transform],
        sampler: Sampler,
        output_size: ArrayLike,
        *,
        constraints: Sequence[nn.Module | None] | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            localisation: one module that all share, U -> the thetas of all transforms side by side (n, sum of
                p); or one module for each transform.
            transforms: one for each transformer; may repeat.
            sampler, output_size: as for `SpatialTransformer`, the same for all.
            constraints: one for each transform, or None for no constraint.
        Raises:
            ArgumentError: no transform, another number of localisations or constraints than of transforms, or
                parts that do not go together.
        """
        super().__init__()
        if not isinstance(transforms, (list, tuple)) or not transforms:
            raise ArgumentError(f"transforms: expected a list of at least one, got {transforms!r}")
        for transform in transforms:
            check_parts(sampler, transform)
        if isinstance(localisation, (Sequence, nn.ModuleList)):
            self.shared, networks = False, _listed("localisation", localisation, len(transforms))
        else:
            self.shared, networks = True, [localisation]
        chosen: list[nn.Module | None] = [None] * len(transforms)
        if constraints is not None:
            chosen = _listed("constraints", constraints, len(transforms))
        for network in networks:
            check_module("localisation", network)
        for module in chosen:
            if module is not None:
                check_module("constraints", module)
        self.localisations = nn.ModuleList(networks)
        self.constraints = nn.ModuleList(nn.Identity() if module is None else module for module in chosen)
        # Transformers of one kind share the constants of their grids.
        generators = {id(transform): GridGenerator(transform, output_size) for transform in transforms}
        self.grid_generators = nn.ModuleList(generators[id(transform)] for transform in transforms)
        self.sampler = sampler
        self.parameter_counts = [transform.parameters for transform in transforms]

    def thetas(self, source: Tensor) -> list[Tensor]:
        """theta (n, p) of each transformer."""
        check_dimensions(source, cast(GridGenerator, self.grid_generators[0]).transform)
        if self.shared:
            joined = self.localisations[0](source)
            check_tensor("localisation", joined)
            total = sum(self.parameter_counts)
            if joined.ndim != 2 or joined.shape[1] != total:
                raise ShapeError(
                    f"localisation: expected theta (n, {total}) for all transforms, got {tuple(joined.shape)}"
                )
            found = joined.split(self.parameter_counts, dim=1)
        else:
            found = [network(source) for network in self.localisations]
        pairs = zip(self.constraints, found, strict=True)
        return [constrained_theta(theta, constraint, source) for constraint, theta in pairs]

    def forward(self, source: Tensor) -> Tensor:
        """V (n, transformers * c, h, w) of U (n, c, H, W); volumes alike.

        Raises:
            ShapeError, ArgumentError: a source or a theta that does not fit; the message names it.
        """
        thetas = self.thetas(source)
        grids = [generate(theta) for generate, theta in zip(self.grid_generators, thetas, strict=True)]
        return torch.cat([self.sampler(source, grid) for grid in grids], dim=1)

    def inspect(self, source: Tensor) -> list[Inspection]:
        """What each transformer did."""
        return [
            inspect_theta(source, theta, cast(GridGenerator, grid_generator), self.sampler)
            for theta, grid_generator in zip(self.thetas(source), self.grid_generators, strict=True)
        ]


def _listed(name: str, given: Iterable[Kind], count: int) -> list[Kind]:
    """A list of one thing for each transform.

    Raises:
        ArgumentError: no list, or another number of things.
    """
    if not isinstance(given, (Sequence, nn.ModuleList)):
        raise ArgumentError(f"{name}: expected a list with one for each transform, got {given!r}")
    if len(given) != count:
        raise ArgumentError(f"{name}: expected one for each of {count} transforms, got {len(given)}")
    return list(given)
