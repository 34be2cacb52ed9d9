"""The identity changes nothing; the same theta means the same place at every resolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.geometry import affine_identity, control_point_targets
from stn_deploy.stn import GridGenerator, SpatialTransformer, sample
from stn_deploy.stn.sampler import PADDINGS
from tests.tolerances import SAMPLE

SIZES = [(1, 1), (1, 6), (5, 9), (31, 64), (48, 7)]
TRANSFORMS = ("affine", "thin plate")


def generator_and_identity(transform: str, size: tuple[int, int]) -> tuple[GridGenerator, Tensor]:
    if transform == "affine":
        return GridGenerator.affine(size), torch.from_numpy(affine_identity()).float()[None]
    identity = torch.from_numpy(control_point_targets(10).copy()).float()[None]
    return GridGenerator.thin_plate_spline(size, 10), identity


def random_source(size: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_identity_theta_is_a_no_op_when_sizes_match(
    transform: str, size: tuple[int, int], padding: str
) -> None:
    source = random_source(size)
    grid_generator, identity = generator_and_identity(transform, size)
    assert (sample(source, grid_generator(identity), padding=padding) - source).abs().max() < SAMPLE


@pytest.mark.parametrize("sizes", [((5, 9), (11, 24)), ((31, 7), (32, 64)), ((6, 40), (6, 41))], ids=str)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_identity_theta_is_a_plain_resize_when_sizes_differ(
    transform: str, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    before, after = sizes
    source = random_source(before)
    grid_generator, identity = generator_and_identity(transform, after)
    expected = F.interpolate(source, after, mode="bilinear", align_corners=False)
    assert (sample(source, grid_generator(identity)) - expected).abs().max() < SAMPLE


@pytest.mark.parametrize("size", [(9, 14), (31, 20), (64, 200)], ids=str)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_same_theta_means_the_same_place_at_every_resolution(
    transform: str, size: tuple[int, int]
) -> None:
    """The source holds its own normalised coordinates, so V must hold the grid, whatever the size of U."""
    ys, xs = ((2 * torch.arange(n) + 1) / n - 1 for n in size)
    source = torch.stack([xs.expand(*size), ys[:, None].expand(*size)])[None]
    grid_generator, theta = generator_and_identity(transform, (6, 11))
    offset = torch.tensor([0.1, -0.1]) if transform == "thin plate" else 0.0
    theta = theta @ torch.tensor([[0.5, 0.2], [-0.35, 0.4]]) + offset
    grid = grid_generator(theta)
    assert (
        grid.abs().amax(dim=(0, 1, 2)).flip(0).lt(1 - 1 / torch.tensor(size)).all()
    )  # outside the outermost centres the border is flat
    assert (sample(source, grid).permute(0, 2, 3, 1) - grid).abs().max() < SAMPLE


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_rotation_by_90_degrees_permutes_the_pixels(transform: str) -> None:
    source = random_source((5, 9))
    grid_generator, theta = generator_and_identity(transform, (9, 5))
    # Source (x, y) = target (y, -x): what is above in U comes to the right in V.
    theta = theta @ torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    expected = torch.rot90(source, -1, dims=(2, 3))
    assert (sample(source, grid_generator(theta)) - expected).abs().max() < SAMPLE


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_translation_moves_the_window_not_the_picture(transform: str) -> None:
    source = random_source((4, 10))
    grid_generator, theta = generator_and_identity(transform, (4, 10))
    shift = torch.tensor([2 * 3 / 10, 2 * 1 / 4])  # three pixels right, one down
    theta = torch.cat([theta[:, :2], theta[:, 2:] + shift], dim=1) if transform == "affine" else theta + shift
    moved = sample(source, grid_generator(theta), padding="zeros")
    expected = torch.zeros_like(source)
    expected[:, :, :-1, :-3] = source[:, :, 1:, 3:]
    assert (moved - expected).abs().max() < SAMPLE


def test_a_spatial_transformer_is_localisation_grid_and_sampler() -> None:
    class Turn(torch.nn.Module):
        def forward(self, source: Tensor) -> Tensor:
            brightness = source.mean(dim=(1, 2, 3))[:, None, None]
            return brightness * torch.from_numpy(affine_identity()).float() + 0.1

    source = torch.cat([random_source((6, 13), seed) for seed in range(2)])
    grid_generator = GridGenerator.affine((7, 4))
    expected = F.grid_sample(
        source, grid_generator(Turn()(source)), "bilinear", "border", align_corners=False
    )
    transformed = SpatialTransformer(Turn(), grid_generator)(source)
    assert transformed.shape == (2, 3, 7, 4)
    assert np.array_equal(transformed.numpy(), expected.numpy())
