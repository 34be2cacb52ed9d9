"""The operators of torch beside their numbers: compiled, mapped, under autocast, in every layout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.library import opcheck

from stn_deploy.errors import ArgumentError
from stn_deploy.plugins.launch.plan import Sampling
from stn_deploy.plugins.operators import grid_sample, on_gpu, theta_grid_sample
from tests.emulated_launcher import EmulatedLauncher
from tests.operator_inputs import (
    OUTPUT,
    SETTINGS,
    grid_of,
    launched,
    launched_backward,
    tensors,
    wanting,
)
from tests.tolerances import SAMPLE

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("padding", ["border", "zeros", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_gradients_are_those_of_differences(mode: str, padding: str, align_corners: bool) -> None:
    inputs = tensors(dtype=torch.float64)
    source, theta = (inputs.pop(name).requires_grad_() for name in ("source", "theta"))
    settings: dict[str, Any] = {"mode": mode, "padding": padding, "align_corners": align_corners}

    def sampled(source: Tensor, theta: Tensor) -> Tensor:
        return theta_grid_sample(source=source, theta=theta, output_size=OUTPUT, **inputs, **settings)

    assert torch.autograd.gradcheck(sampled, (source, theta))


def test_gradients_through_a_division_are_those_of_differences() -> None:
    inputs = tensors(dtype=torch.float64)
    inputs["basis"][:, -1] = 1
    divisor = torch.full((3, 5, 1), 0.1, dtype=torch.float64)
    divisor[:, -1] = 1.3
    theta = torch.cat([inputs.pop("theta"), divisor], dim=2).requires_grad_()

    def sampled(theta: Tensor) -> Tensor:
        return theta_grid_sample(theta=theta, output_size=OUTPUT, homogeneous=True, **inputs)

    assert torch.autograd.gradcheck(sampled, theta)


def test_gradients_of_volumes_and_for_a_grid_are_those_of_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(2, 2, 3, 4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    grid = torch.randn(2, 2, 3, 2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda *both: grid_sample(*both, mode="trilinear"), (source, grid))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("extents", [True, False])
def test_torch_finds_nothing_wrong_with_the_operators(layout: torch.memory_format, extents: bool) -> None:
    inputs = wanting(tensors(c=8))
    inputs["source"] = inputs["source"].detach().contiguous(memory_format=layout).requires_grad_()
    valid = inputs["extents"] if extents else None
    positions = (inputs["source"], inputs["basis"], inputs["theta"], valid, list(OUTPUT))
    opcheck(torch.ops.stn_deploy.theta_grid_sample.default, (*positions, *SETTINGS))
    opcheck(
        torch.ops.stn_deploy.grid_sample.default,
        (inputs["source"], grid_of(inputs).detach().requires_grad_(), *SETTINGS[:3]),
    )


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_torch_finds_nothing_wrong_with_the_gradients(wanted: tuple[bool, bool]) -> None:
    inputs = tensors()
    gradient = torch.randn(3, 2, *OUTPUT)
    opcheck(
        torch.ops.stn_deploy.theta_grid_sample_backward.default,
        (gradient, wanted, *inputs.values(), list(OUTPUT), *SETTINGS),
    )
    opcheck(
        torch.ops.stn_deploy.grid_sample_backward.default,
        (gradient, wanted, inputs["source"], grid_of(inputs), *SETTINGS[:3]),
    )


def test_a_compiled_network_computes_the_same() -> None:
    inputs = tensors()

    def loss(source: Tensor, theta: Tensor, n: int = 0) -> Tensor:
        basis, extents = inputs["basis"], inputs["extents"]
        return theta_grid_sample(source, basis, theta, extents, output_size=OUTPUT).sin().sum()

    found = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        given = wanting(inputs)
        value = function(given["source"], given["theta"])
        value.backward()
        found.append((value.detach(), given["source"].grad, given["theta"].grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_compiled_network_takes_any_batch() -> None:
    inputs = tensors()
    compiled = torch.compile(theta_grid_sample, fullgraph=True, backend="aot_eager", dynamic=True)
    for n in (3, 2):
        part = {name: tensor if name == "basis" else tensor[:n] for name, tensor in inputs.items()}
        expected = theta_grid_sample(**part, output_size=OUTPUT)
        torch.testing.assert_close(compiled(**part, output_size=OUTPUT), expected)


def test_an_exported_program_takes_any_batch_size_and_number_of_channels() -> None:
    class Warp(torch.nn.Module):
        def forward(self, source: Tensor, basis: Tensor, theta: Tensor) -> Tensor:
            return theta_grid_sample(source, basis, theta, output_size=OUTPUT)

    inputs = tensors(c=8)
    given = tuple(inputs[name] for name in ("source", "basis", "theta"))
    auto = torch.export.Dim.AUTO
    sizes = {"source": dict.fromkeys(range(4), auto), "basis": {}, "theta": {0: auto}}
    program = torch.export.export(Warp(), given, dynamic_shapes=sizes).module()
    for n, c in ((2, 3), (3, 5), (3, 16)):  # channels that fill whole vectors, and others
        source = torch.randn(n, c, 9, 20)
        expected = theta_grid_sample(source, given[1], given[2][:n], output_size=OUTPUT)
        torch.testing.assert_close(program(source, given[1], given[2][:n]), expected)


def test_a_mapped_call_is_many_calls() -> None:
    inputs = tensors()
    thetas = torch.stack([inputs["theta"], inputs["theta"] * 0.5, inputs["theta"] + 0.1])
    arguments = (inputs["basis"], inputs["extents"])

    def sampled(source: Tensor, theta: Tensor) -> Tensor:
        return theta_grid_sample(source, arguments[0], theta, arguments[1], output_size=OUTPUT)

    mapped = torch.vmap(sampled, in_dims=(None, 0), out_dims=1)(inputs["source"], thetas)
    torch.testing.assert_close(mapped, torch.stack([sampled(inputs["source"], each) for each in thetas], 1))
    sources = inputs["source"].unflatten(1, (2, 1))
    grid = grid_of(inputs)
    mapped = torch.vmap(grid_sample, in_dims=(2, None))(sources, grid)
    torch.testing.assert_close(mapped, torch.stack([grid_sample(sources[:, :, 0], grid)]))


def test_a_mapped_basis_is_refused() -> None:
    inputs = tensors()
    bases = inputs.pop("basis").expand(2, -1, -1)
    with pytest.raises(ArgumentError, match="basis: expected one for all under torch.vmap"):
        torch.vmap(lambda basis: theta_grid_sample(basis=basis, output_size=OUTPUT, **inputs))(bases)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_positions_stay_in_float32_under_autocast(dtype: torch.dtype) -> None:
    """A localisation network answers in half precision there; what it says is not rounded any further."""
    inputs = tensors()
    half = {**inputs, "source": inputs["source"].to(dtype), "theta": inputs["theta"].to(dtype)}
    wide = {**inputs, "source": half["source"].float(), "theta": half["theta"].float()}
    with torch.autocast("cpu", dtype=dtype):
        sampled = theta_grid_sample(**half, output_size=OUTPUT)
        from_float = theta_grid_sample(**wide, output_size=OUTPUT)
    assert sampled.dtype == dtype
    expected = theta_grid_sample(**wide, output_size=OUTPUT)
    torch.testing.assert_close(from_float, expected, rtol=0, atol=0)
    torch.testing.assert_close(sampled, expected.to(dtype), rtol=0, atol=0)


def test_a_theta_of_half_precision_gets_its_gradient_back() -> None:
    inputs = tensors()
    theta = inputs.pop("theta").to(torch.bfloat16).requires_grad_()
    theta_grid_sample(theta=theta, output_size=OUTPUT, **inputs).sum().backward()
    assert theta.grad is not None
    assert theta.grad.dtype == torch.bfloat16


def test_a_gradient_that_is_not_wanted_is_not_computed() -> None:
    launcher, inputs = EmulatedLauncher(), tensors()
    for wanted in ((True, False), (False, True), (False, False)):
        for_source, for_theta = launched_backward(launcher, inputs, wanted)
        assert for_source.shape == (inputs["source"].shape if wanted[0] else (0,))
        assert for_theta.shape == (inputs["theta"].shape if wanted[1] else (0,))
    addresses = [call.arguments[-2:] for call, _, _ in launcher.launched]
    assert [tuple(map(bool, pair)) for pair in addresses] == [(True, False), (False, True)]


def test_nearest_needs_no_launch_for_theta_alone() -> None:
    launcher, inputs = EmulatedLauncher(), tensors()
    settings = ("nearest", *SETTINGS[1:])
    _, for_theta = launched_backward(launcher, inputs, (False, True), settings=settings)
    assert not launcher.launched
    assert torch.equal(for_theta, torch.zeros_like(inputs["theta"]))


@pytest.mark.parametrize("empty", ["batch", "channels", "output"])
def test_nothing_to_sample_is_no_launch(empty: str) -> None:
    inputs = tensors(n=0) if empty == "batch" else tensors(c=0) if empty == "channels" else tensors()
    size = (0, 4) if empty == "output" else OUTPUT
    inputs["basis"] = inputs["basis"][: size[0] * size[1]]
    expected = (*inputs["source"].shape[:2], *size)
    launcher = EmulatedLauncher()
    assert launched(launcher, inputs, output_size=size).shape == expected
    assert not launcher.launched
    wanted = wanting(inputs)
    sampled = theta_grid_sample(**wanted, output_size=size)
    assert sampled.shape == expected
    sampled.sum().backward()
    for name in ("source", "theta"):
        assert torch.equal(wanted[name].grad, torch.zeros_like(inputs[name]))


def test_strided_tensors_are_read_as_they_are() -> None:
    launcher, inputs = EmulatedLauncher(), tensors()
    strided = {
        "source": inputs["source"].transpose(2, 3).contiguous().transpose(2, 3),
        "basis": inputs["basis"].T.contiguous().T,
        "theta": inputs["theta"].transpose(1, 2).contiguous().transpose(1, 2),
        "extents": inputs["extents"].repeat(1, 2)[:, :2],
    }
    assert not any(tensor.is_contiguous() for tensor in strided.values())
    assert torch.equal(launched(launcher, inputs), launched(launcher, strided))


@pytest.mark.parametrize(
    ("c", "dtype", "last"), [(8, torch.float16, True), (4, torch.float16, False), (4, torch.float32, True)]
)
def test_channels_stay_last_where_they_fill_whole_vectors(c: int, dtype: torch.dtype, last: bool) -> None:
    launcher, inputs = EmulatedLauncher(), tensors(c=c)
    inputs["source"] = inputs["source"].to(dtype).contiguous(memory_format=torch.channels_last)
    sampled = launched(launcher, inputs)
    sampling = launcher.launched[-1][0].kernel.sampling
    assert sampling == Sampling(element="f16" if dtype == torch.float16 else "f32", channels_last=last)
    assert sampled.is_contiguous(memory_format=torch.channels_last) is last
    assert theta_grid_sample(**inputs, output_size=OUTPUT).stride() == sampled.stride()


def test_a_source_that_begins_between_vectors_is_moved() -> None:
    """A view into a larger tensor: the kernels read channels 16 bytes at a time."""
    launcher, inputs = EmulatedLauncher(), tensors()
    whole = torch.randn(3, 7, 12, 8)
    shifted = torch.empty(whole.numel() + 1)[1:].view(whole.shape).copy_(whole)
    assert shifted.data_ptr() % 16
    found = launched(launcher, {**inputs, "source": shifted.permute(0, 3, 1, 2)})
    call = launcher.launched[-1][0]
    assert call.kernel.sampling.channels_last
    assert call.arguments[0] % 16 == 0
    expected = launched(launcher, {**inputs, "source": whole.permute(0, 3, 1, 2).contiguous()})
    torch.testing.assert_close(found, expected, rtol=0, atol=SAMPLE)


def test_a_derivative_of_gradients_is_refused() -> None:
    inputs = wanting(tensors())
    value = theta_grid_sample(**inputs, output_size=OUTPUT).square().sum()
    (moved,) = torch.autograd.grad(value, inputs["theta"], create_graph=True)
    with pytest.raises(ArgumentError, match="expected to be differentiated once"):
        moved.sum().backward()


def test_sums_in_any_order_are_refused_where_determinism_is_asked_for() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(ArgumentError, match=r"use_deterministic_algorithms\(False\)"):
            on_gpu._check_determinism("grid_sample")
        torch.use_deterministic_algorithms(True, warn_only=True)
        with pytest.warns(UserWarning, match="sum gradients in any order"):
            on_gpu._check_determinism("grid_sample")
    finally:
        torch.use_deterministic_algorithms(False)
