"""The Spatial Transformer: localisation network, grid generator and sampler; one, or several in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import Transform, source_corners
from stn_deploy.stn.checks import MODES, check_source, check_tensor, check_transform
from stn_deploy.stn.grid_generator import GridGenerator
from stn_deploy.stn.sampler import Sampler


class Inspection(NamedTuple):
    """What a transformer did, for pictures.

    output: V, (n, c, h, w). theta: (n, p). grid: (n, h, w, 2), normalised.
    corners: (n, 4, 2), where the corners of V lie in U, clockwise from the top left; normalised.
    Of volumes (n, c, d, h, w), (n, d, h, w, 3) and (n, 8, 3).
    """

    output: Tensor
    theta: Tensor
    grid: Tensor
    corners: Tensor


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
        _check_parts(sampler, transform)
        _check_module("localisation", localisation)
        if constraint is not None:
            _check_module("constraint", constraint)
        self.localisation = localisation
        self.constraint = constraint if constraint is not None else nn.Identity()
        self.grid_generator = GridGenerator(transform, output_size)
        self.sampler = sampler

    def theta(self, source: Tensor) -> Tensor:
        """theta (n, p) that the localisation network, and the constraint after it, make of U."""
        _check_dimensions(source, self.grid_generator)
        return _constrained(self.localisation(source), self.constraint, source)

    def forward(self, source: Tensor) -> Tensor:
        """V (n, c, h, w) of U (n, c, H, W); volumes alike.

        Raises:
            ShapeError, ArgumentError: a source or a theta that does not fit; the message names it.
        """
        output: Tensor = self.sampler(source, self.grid_generator(self.theta(source)))
        return output

    def inspect(self, source: Tensor) -> Inspection:
        """V of U together with theta, grid and corners."""
        return _inspect(source, self.theta(source), self.grid_generator, self.sampler)


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
            _check_parts(sampler, transform)
        several = isinstance(localisation, (Sequence, nn.ModuleList))
        networks = (
            list(localisation) if isinstance(localisation, (Sequence, nn.ModuleList)) else [localisation]
        )
        self.shared = not several
        if not self.shared:
            _check_count("localisation", networks, transforms)
        for network in networks:
            _check_module("localisation", network)
        if constraints is not None and not isinstance(constraints, (Sequence, nn.ModuleList)):
            raise ArgumentError(
                f"constraints: expected a list with a module or None for each transform, got {constraints!r}"
            )
        chosen = [None] * len(transforms) if constraints is None else list(constraints)
        _check_count("constraints", chosen, transforms)
        for module in chosen:
            if module is not None:
                _check_module("constraints", module)
        self.localisations = nn.ModuleList(networks)
        self.constraints = nn.ModuleList(nn.Identity() if module is None else module for module in chosen)
        # Transformers of one kind share the constants of their grids.
        generators = {id(transform): GridGenerator(transform, output_size) for transform in transforms}
        self.grid_generators = nn.ModuleList(generators[id(transform)] for transform in transforms)
        self.sampler = sampler
        self.parameter_counts = [transform.parameters for transform in transforms]

    def thetas(self, source: Tensor) -> list[Tensor]:
        """theta (n, p) of each transformer."""
        _check_dimensions(source, cast(GridGenerator, self.grid_generators[0]))
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
        return [_constrained(theta, constraint, source) for constraint, theta in pairs]

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
            _inspect(source, theta, cast(GridGenerator, grid_generator), self.sampler)
            for theta, grid_generator in zip(self.thetas(source), self.grid_generators, strict=True)
        ]


class DepthProjection(nn.Module):
    """Flattens a volume to an image, the sum along its depth: after a 3-D transformer, a learned view.

    Source: Jaderberg et al. 2015, appendix on higher dimensions: W_nm = sum over l of V_nml.
    """

    def forward(self, volume: Tensor) -> Tensor:
        """W (n, c, h, w) of V (n, c, d, h, w).

        Raises:
            ShapeError: another rank.
        """
        check_tensor("volume", volume)
        if volume.ndim != 5:
            raise ShapeError(f"volume: expected (n, c, d, h, w), got {tuple(volume.shape)}")
        return volume.sum(dim=2)


def _check_module(name: str, module: object) -> None:
    if not isinstance(module, nn.Module):
        hint = "; join several with nn.Sequential" if isinstance(module, (list, tuple)) else ""
        raise ArgumentError(f"{name}: expected a torch module, got {module!r}{hint}")


def _constrained(theta: Tensor, constraint: nn.Module, source: Tensor) -> Tensor:
    check_tensor("theta", theta)
    if theta.ndim and theta.shape[0] != source.shape[0]:
        raise ShapeError(
            f"theta: expected one for each of {source.shape[0]} images, got {tuple(theta.shape)} from the "
            "localisation network"
        )
    constrained: Tensor = constraint(theta)
    return constrained


def _check_parts(sampler: Sampler, transform: Transform) -> None:
    check_transform("transform", transform)
    if not isinstance(sampler, Sampler):
        raise ArgumentError(f"sampler: expected a Sampler, such as Sampler(), got {sampler!r}")
    allowed = MODES[transform.dimensions]
    if sampler.mode not in allowed:
        raise ArgumentError(
            f"sampler: expected mode {' or '.join(allowed)} for a transform of {transform.dimensions} "
            f"dimensions, got {sampler.mode!r}"
        )


def _check_dimensions(source: Tensor, grid_generator: GridGenerator) -> None:
    check_source(source)
    dimensions = grid_generator.transform.dimensions
    if source.ndim - 2 != dimensions:
        letters = ("H, W", "D, H, W")[dimensions - 2]
        raise ShapeError(f"source: expected (n, c, {letters}), got {tuple(source.shape)}")


def _check_count(name: str, given: Sequence[object], transforms: Sequence[Transform]) -> None:
    if len(given) != len(transforms):
        raise ArgumentError(
            f"{name}: expected one for each of {len(transforms)} transforms, got {len(given)}"
        )


def _inspect(source: Tensor, theta: Tensor, grid_generator: GridGenerator, sampler: Sampler) -> Inspection:
    grid = grid_generator(theta)
    corners = source_corners(grid_generator.transform, theta.detach().cpu().double().numpy())
    corners_in_source = torch.tensor(corners, dtype=grid.dtype, device=grid.device)
    return Inspection(sampler(source, grid), theta, grid, corners_in_source)
