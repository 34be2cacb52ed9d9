"""The operators of torch on a GPU: the table of the emulation, gradients, and torch's ways to run them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.library import opcheck

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry import ThinPlateSpline
from stn_deploy.plugins.operators import FusedSpatialTransformer, grid_sample, theta_grid_sample
from stn_deploy.stn import FullyConnectedLocalisation, Sampler, SpatialTransformer
from tests.networks import alive
from tests.plugin_cases import (
    CASES,
    GIVEN,
    Case,
    Inputs,
    close,
    close_gradient,
    expected_gradients,
    expected_of,
    inputs_of,
)
from tests.tolerances import SAMPLE

pytestmark = pytest.mark.usefixtures("torch_gpu")
TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SOME = [case for case in CASES if case.homogeneous == case.align_corners]


def on_gpu(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).to("cuda")


def run(case: Case, inputs: Inputs, source: Tensor, theta: Tensor) -> Tensor:
    return theta_grid_sample(
        source,
        on_gpu(inputs.basis),
        theta,
        on_gpu(inputs.extents),
        output_size=inputs.output_size,
        homogeneous=case.homogeneous,
        **case.settings,
    )


def host(tensor: Tensor | None) -> np.ndarray:
    assert tensor is not None
    return tensor.detach().double().cpu().numpy()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_theta_samples_and_learns_as_the_paper_says(case: Case) -> None:
    inputs = inputs_of(case)
    source, theta = (on_gpu(each).requires_grad_() for each in (inputs.source, inputs.theta))
    upstream = np.random.default_rng(1).normal(size=(5, 3, *inputs.output_size)).astype(np.float32)
    sampled = run(case, inputs, source, theta)
    sampled.backward(on_gpu(upstream))
    assert close(host(sampled), expected_of(case, inputs))
    for_source, _, for_theta = expected_gradients(case, inputs, upstream)
    assert close_gradient(host(source.grad), for_source)
    assert close_gradient(host(theta.grad)[:4], for_theta[:4])
    assert close_gradient(host(theta.grad)[4:], for_theta[4:])


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_a_grid_samples_and_learns_as_the_paper_says(case: Case) -> None:
    inputs = inputs_of(case).whole()
    source, grid = (on_gpu(each).requires_grad_() for each in (inputs.source, inputs.grid))
    upstream = np.random.default_rng(1).normal(size=(5, 3, *inputs.output_size)).astype(np.float32)
    sampled = grid_sample(source, grid, **case.settings)
    sampled.backward(on_gpu(upstream))
    assert close(host(sampled), expected_of(case, inputs))
    for_source, for_grid, _ = expected_gradients(case, inputs, upstream)
    assert close_gradient(host(source.grad), for_source)
    assert close_gradient(host(grid.grad), for_grid)


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_and_layout_samples_and_learns_alike(case: Case, channels_last: bool, dtype: str) -> None:
    inputs = inputs_of(case, channels=40)  # more than a block samples
    last = torch.channels_last if case.dimensions == 2 else torch.channels_last_3d
    layout = last if channels_last else torch.contiguous_format
    source = on_gpu(inputs.source).to(TYPES[dtype]).contiguous(memory_format=layout).requires_grad_()
    theta = on_gpu(inputs.theta).requires_grad_()
    upstream = torch.randn(5, 40, *inputs.output_size).to(TYPES[dtype])
    sampled = run(case, inputs, source, theta)
    assert sampled.dtype == TYPES[dtype]
    assert sampled.is_contiguous(memory_format=layout)
    sampled.backward(upstream.to("cuda"))
    held = host(source)
    assert close(host(sampled), expected_of(case, inputs, held), dtype)
    for_source, _, for_theta = expected_gradients(case, inputs, host(upstream), held)
    assert close_gradient(host(source.grad), for_source, dtype)
    assert close_gradient(host(theta.grad)[:4], for_theta[:4])


def positions() -> tuple[Tensor, Tensor, Tensor]:
    """source, basis and theta of a thin-plate spline on text lines."""
    torch.manual_seed(0)
    transform = ThinPlateSpline.on_edges(20)
    basis = SpatialTransformer(
        FullyConnectedLocalisation((1, 4, 4), transform.identity), transform, Sampler(), (32, 100)
    ).grid_generator.basis.cuda()
    identity = torch.tensor(transform.identity, dtype=torch.float32, device="cuda").reshape(1, 20, 2)
    theta = 0.9 * identity + 0.05 * torch.randn(4, 20, 2, device="cuda")
    return torch.rand(4, 3, 64, 256, device="cuda"), basis, theta


def test_torch_finds_nothing_wrong_with_the_operator() -> None:
    source, basis, theta = positions()
    arguments = (source.requires_grad_(), basis, theta.requires_grad_(), None, [32, 100])
    opcheck(
        torch.ops.stn_deploy.theta_grid_sample.default,
        (*arguments, "bilinear", "border", False, False),
        rtol=1e-4,
        atol=1e-5,  # gradients are summed in any order
    )


@pytest.mark.filterwarnings("ignore")  # of torch's compiler
def test_a_compiled_network_computes_the_same() -> None:
    source, basis, theta = positions()

    def loss(source: Tensor, theta: Tensor) -> Tensor:
        return theta_grid_sample(source * 2, basis, theta + 0.01, output_size=(32, 100)).sin().sum()

    found = []
    for function in (loss, torch.compile(loss, fullgraph=True)):
        given = [each.detach().clone().requires_grad_() for each in (source, theta)]
        value = function(*given)
        value.backward()
        found.append((value.detach(), *(each.grad for each in given)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_a_captured_graph_computes_the_same() -> None:
    source, basis, theta = positions()
    expected = theta_grid_sample(source, basis, theta, output_size=(32, 100))  # loads the kernel
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = theta_grid_sample(source, basis, theta, output_size=(32, 100))
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, expected)


def test_work_is_queued_on_the_stream_of_torch() -> None:
    source, basis, theta = positions()
    expected = theta_grid_sample(source, basis, theta, output_size=(32, 100))
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        late = torch.zeros_like(source)
        torch.cuda._sleep(20_000_000)
        late.copy_(source)
        found = theta_grid_sample(late, basis, theta, output_size=(32, 100))
    stream.synchronize()
    assert torch.equal(found, expected)


def test_it_is_the_sampler_of_torch() -> None:
    source, basis, theta = positions()
    grid = (basis @ theta).reshape(4, 32, 100, 2)
    expected = torch.nn.functional.grid_sample(source, grid, padding_mode="border", align_corners=False)
    assert (theta_grid_sample(source, basis, theta, output_size=(32, 100)) - expected).abs().max() < SAMPLE
    assert (grid_sample(source, grid) - expected).abs().max() < SAMPLE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_fused_transformer_learns_as_the_transformer_does(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    transform = ThinPlateSpline.on_edges(10)
    localisation = alive(FullyConnectedLocalisation((3, 16, 40), transform.identity))
    plain = SpatialTransformer(localisation, transform, Sampler(), (9, 24)).cuda()
    fused = FusedSpatialTransformer(copy.deepcopy(plain))
    source = torch.rand(4, 3, 16, 40, device="cuda")
    found: list[list[Any]] = []
    for network in (plain, fused):
        with torch.autocast("cuda", dtype=dtype):
            network(source).float().sin().sum().backward()
        found.append([parameter.grad for parameter in network.parameters()])
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() < 0.02 * other.abs().max()


def test_float64_is_left_to_operators_of_torch() -> None:
    case = CASES[12]
    inputs = inputs_of(case)
    given = [on_gpu(each).double() for each in (inputs.source, inputs.basis, inputs.theta, inputs.extents)]
    settings = {**case.settings, "output_size": inputs.output_size, "homogeneous": case.homogeneous}
    assert close(host(theta_grid_sample(*given, **settings)), expected_of(case, inputs))


def test_gradients_that_are_summed_in_any_order_are_refused_where_that_is_forbidden() -> None:
    source, basis, theta = positions()
    theta.requires_grad_()
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(ArgumentError, match="sum gradients in any order"):
            theta_grid_sample(source, basis, theta, output_size=(32, 100)).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


def test_work_is_done_where_the_tensors_are() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two GPUs, has {torch.cuda.device_count()}")
    source, basis, theta = positions()
    expected = theta_grid_sample(source, basis, theta, output_size=(32, 100))
    there = [each.to("cuda:1") for each in (source, basis, theta)]
    found = theta_grid_sample(*there, output_size=(32, 100))
    assert found.device == there[0].device
    assert torch.equal(found.cpu(), expected.cpu())
    assert torch.cuda.current_device() == 0
