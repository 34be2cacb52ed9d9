"""A grid is computed in float32 or better, whatever surrounds its generator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.grids import error, expected_grid, make
from tests.tolerances import FLOAT64, POINT
from tests.transforms import TRANSFORMS

each_transform = pytest.mark.parametrize("name", TRANSFORMS)
each_half = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)


@pytest.fixture
def precision() -> Iterator[None]:
    """The setting of float32 products, put back afterwards."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@each_transform
def test_autocast_leaves_the_grid_in_float32(name: str) -> None:
    grid_generator, theta = make(name)
    expected = grid_generator(theta)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        grid = grid_generator(theta)
    assert grid.dtype == torch.float32
    assert torch.equal(grid, expected)


@each_half
@each_transform
def test_a_theta_in_half_precision_makes_a_float32_grid(name: str, half: torch.dtype) -> None:
    grid_generator, theta = make(name)
    grid = grid_generator(theta.to(half))
    assert grid.dtype == torch.float32
    assert torch.equal(grid, grid_generator(theta.to(half).float()))


@each_half
@each_transform
def test_a_grid_generator_stays_in_float32_when_its_network_goes_to_half(
    name: str, half: torch.dtype
) -> None:
    grid_generator, theta = make(name)
    expected = grid_generator(theta)
    nn.Sequential(grid_generator).to(half)
    assert {buffer.dtype for buffer in grid_generator.buffers()} == {torch.float32}
    assert torch.equal(grid_generator(theta), expected)


@each_transform
def test_in_float64_the_grid_is_exact(name: str) -> None:
    grid_generator, theta = make(name)
    grid_generator.double()
    grid = grid_generator(theta.double())
    assert grid.dtype == torch.float64
    assert error(grid, expected_grid(grid_generator, theta)) < FLOAT64


@each_transform
def test_float64_and_back_is_as_before(name: str) -> None:
    grid_generator, theta = make(name)
    expected = grid_generator(theta)
    for there_and_back in (lambda: grid_generator.double().float(), lambda: grid_generator.double().half()):
        assert torch.equal(there_and_back()(theta), expected)


@pytest.mark.usefixtures("precision")
@pytest.mark.parametrize("setting", ["medium", "high"])
@each_transform
def test_faster_products_of_float32_leave_the_grid_as_it_is(name: str, setting: str) -> None:
    grid_generator, theta = make(name)
    torch.set_float32_matmul_precision(setting)
    grid = grid_generator(theta)
    assert grid.dtype == torch.float32
    assert error(grid, expected_grid(grid_generator, theta)) < POINT


class Products(TorchDispatchMode):
    """Notes the types in which matrices are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("mm", "addmm", "bmm", "baddbmm"):
            self.types.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("precision")
@each_transform
def test_where_products_of_float32_are_reduced_none_is_taken_in_float32(name: str) -> None:
    """Few processors reduce small products, GPUs reduce all: what they would do cannot be seen in the numbers
    of every machine."""
    grid_generator, theta = make(name)
    theta.requires_grad_()
    torch.set_float32_matmul_precision("medium")
    with Products() as products:
        grid_generator(theta).sum().backward()
    assert products.types == {torch.float64}


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="needs torch 2.9")
@pytest.mark.parametrize("backend", ["cuda", "mkldnn"])
def test_the_setting_of_one_backend_leaves_the_grid_as_it_is(backend: str) -> None:
    """torch refuses to say its one setting where backends have their own."""
    grid_generator, theta = make("spline on edges")
    setting = getattr(torch.backends, backend).matmul
    before = setting.fp32_precision
    setting.fp32_precision = "tf32"
    try:
        grid = grid_generator(theta)
    finally:
        setting.fp32_precision = before
    assert error(grid, expected_grid(grid_generator, theta)) < POINT
