"""Gradients through grid generator and sampler, against finite differences in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor

from stn_deploy.geometry import (
    PROJECTIVE,
)
from stn_deploy.geometry.sampling import MODES, PADDINGS
from stn_deploy.stn import GridGenerator, sample
from tests.transforms import TRANSFORMS

pytestmark = pytest.mark.usefixtures("one_thread")

CASES = [
    (name, mode, padding)
    for (name, transform), padding in product(TRANSFORMS.items(), PADDINGS)
    for mode in MODES[transform.dimensions]
]
SOURCE_SIZES = {2: (5, 7), 3: (2, 5, 3)}
OUTPUT_SIZES = {2: (3, 4), 3: (2, 3, 2)}
CLEARANCE = 1e-4  # pixels between a position and the nearest kink; gradcheck moves theta by 1e-6


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Thousands of tiny passes: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pixels(grid: Tensor, size: tuple[int, ...]) -> Tensor:
    """Positions in pixels of U, pixel centres at whole numbers."""
    return (grid + 1) * torch.tensor(size[::-1], dtype=grid.dtype) / 2 - 0.5


def distance_to_kinks(positions: Tensor, mode: str) -> float:
    """The linear kernel bends at pixel centres, the nearest jumps at pixel edges, the cubic is smooth.

    Beyond U too: the edges of U are pixel edges, and what is extended past them bends as U does.
    """
    if mode == "bicubic":
        return math.inf
    shifted = positions - 0.5 if mode == "nearest" else positions
    return float((shifted - shifted.round()).abs().min())


def random_inputs(name: str, mode: str) -> tuple[GridGenerator, Tensor, Tensor]:
    """Generator, U and theta in float64; the grid keeps clear of kinks and lies partly within U."""
    transform = TRANSFORMS[name]
    before, after = SOURCE_SIZES[transform.dimensions], OUTPUT_SIZES[transform.dimensions]
    grid_generator = GridGenerator(transform, after).double()
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(2, transform.parameters, generator=generator, dtype=torch.float64)
    theta = 1.6 * torch.from_numpy(transform.identity.copy()) + 0.15 * noise
    source = torch.rand(2, 1, *before, generator=generator, dtype=torch.float64)
    grid = grid_generator(theta)
    outside = (grid.abs() > 1).any(dim=-1)
    assert distance_to_kinks(pixels(grid, before), mode) > CLEARANCE
    assert outside.any()
    assert not outside.all()
    return grid_generator, source.requires_grad_(), theta.requires_grad_()


@pytest.mark.parametrize(("name", "mode", "padding"), CASES)
def test_gradients_of_source_and_theta_are_right(name: str, mode: str, padding: str) -> None:
    grid_generator, source, theta = random_inputs(name, mode)

    def transformed(source: Tensor, theta: Tensor) -> Tensor:
        return sample(source, grid_generator(theta), mode=mode, padding=padding)

    assert torch.autograd.gradcheck(transformed, (source, theta))
    (for_theta,) = torch.autograd.grad(transformed(source, theta).sum(), theta)
    assert bool(for_theta.any()) == (mode != "nearest")


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", ["affine", "projective", "affine 3-D"])
def test_gradients_of_an_antialiased_output_are_right(name: str, padding: str) -> None:
    transform = TRANSFORMS[name]
    before, after = {2: ((9, 7), (2, 3)), 3: ((5, 2, 6), (2, 2, 2))}[transform.dimensions]
    grid_generator = GridGenerator(transform, after).double()
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(2, transform.parameters, generator=generator, dtype=torch.float64)
    theta = (torch.from_numpy(transform.identity.copy()) + 0.2 * noise).requires_grad_()
    source = torch.rand(2, 1, *before, generator=generator, dtype=torch.float64, requires_grad=True)
    mode = MODES[transform.dimensions][1]

    def transformed(source: Tensor, theta: Tensor) -> Tensor:
        return sample(source, grid_generator(theta), mode=mode, padding=padding, antialias=True)

    assert not torch.equal(
        transformed(source, theta), sample(source, grid_generator(theta), mode=mode, padding=padding)
    )
    assert torch.autograd.gradcheck(transformed, (source, theta))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_theta_that_is_not_finite_spoils_no_other_gradient(name: str, bad: float, antialias: bool) -> None:
    transform = TRANSFORMS[name]
    before, after = SOURCE_SIZES[transform.dimensions], OUTPUT_SIZES[transform.dimensions]
    before = tuple(4 * length for length in before)
    mode = MODES[transform.dimensions][1]
    generator = torch.Generator().manual_seed(0)
    grid_generator = GridGenerator(transform, after)
    sound = 0.7 * torch.tensor(transform.identity).float() + 0.01
    spoilt = sound.clone()
    spoilt[1] = bad
    source = torch.rand(2, 1, *before, generator=generator)

    def run(*thetas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        u, theta = source.clone().requires_grad_(), torch.stack(thetas).requires_grad_()
        sampled = sample(u, grid_generator(theta), mode=mode, antialias=antialias)
        for_source, for_theta = torch.autograd.grad(sampled.sum(), (u, theta))
        return sampled, for_source, for_theta

    (sampled, for_source, for_theta), expected = run(spoilt, sound), run(sound, sound)
    assert sampled.isfinite().all()
    assert for_source.isfinite().all()
    assert for_theta[1].any()
    for one, other in zip((sampled, for_source, for_theta), expected, strict=True):
        assert torch.equal(one[1], other[1])


def test_a_horizon_within_the_output_leaves_all_gradients_finite() -> None:
    """Where the divisor of a projective map is zero nothing is seen and nothing learned."""
    grid_generator = GridGenerator(PROJECTIVE, (3, 4))
    theta = torch.tensor([[0.7, 0.1, 0.05, -0.1, 0.8, 0.02, 4.0, 0.0]], requires_grad=True)
    source = torch.rand(1, 2, 5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    grid = grid_generator(theta)
    assert grid.isnan().any(dim=-1)[0].tolist() == [[False, True, False, False]] * 3  # 4 x + 1 = 0
    sampled = sample(source, grid)
    sampled.sum().backward()
    assert not sampled[..., 1].any()
    assert sampled[..., [0, 2, 3]].all()
    assert source.grad is not None
    assert theta.grad is not None
    assert source.grad.isfinite().all()
    assert theta.grad.isfinite().all()
    assert theta.grad.any()
