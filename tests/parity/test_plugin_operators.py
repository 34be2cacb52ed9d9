"""The operators of torch against the paper's sampler: by operators of torch, and by the emulated kernels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from stn_deploy.plugins.operators import fused, given, grid_sample, theta_grid_sample
from tests.emulated_launcher import EmulatedLauncher
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

pytestmark = pytest.mark.usefixtures("one_thread")

TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_given = pytest.mark.parametrize("case", GIVEN, ids=str)
each_type = pytest.mark.parametrize("dtype", TYPES)
SOME = [
    case
    for case in CASES
    if case.homogeneous == case.align_corners and case.padding in ("border", "reflection")
]
"""Where types and layouts are tried on top: they change how values are read, not where."""


@pytest.fixture(params=["operators of torch", "emulated kernels"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How the operators compute."""
    if request.param == "operators of torch":
        yield request.param
        return
    launcher = EmulatedLauncher()
    for module in (fused, given):
        monkeypatch.setattr(module, "gpu_launcher", lambda: launcher)
    library = torch.library.Library("stn_deploy", "IMPL")
    for module in (fused, given):
        library.impl(module.NAME, module._forward_on_gpu, "CPU")
        library.impl(f"{module.NAME}_backward", module._backward_on_gpu, "CPU")
    yield request.param
    library._destroy()
    assert launcher.launched


def run(case: Case, inputs: Inputs, source: Tensor, theta: Tensor) -> Tensor:
    return theta_grid_sample(
        source,
        torch.from_numpy(inputs.basis),
        theta,
        torch.from_numpy(inputs.extents),
        output_size=inputs.output_size,
        homogeneous=case.homogeneous,
        **case.settings,
    )


def rounded(values: np.ndarray, dtype: str) -> tuple[Tensor, np.ndarray]:
    """In a type, and what that type holds of it."""
    tensor = torch.from_numpy(values).to(TYPES[dtype])
    return tensor, tensor.double().numpy()


@each_case
def test_a_theta_samples_as_the_paper_says(case: Case, way: str) -> None:
    inputs = inputs_of(case)
    sampled = run(case, inputs, *map(torch.from_numpy, (inputs.source, inputs.theta)))
    assert sampled.shape == (5, 3, *inputs.output_size)
    assert close(sampled.numpy(), expected_of(case, inputs))
    assert np.ptp(sampled.numpy()[:3]) > 1
    assert (sampled[3] == 0).all()


@each_given
def test_a_grid_samples_as_the_paper_says(case: Case, way: str) -> None:
    inputs = inputs_of(case).whole()
    sampled = grid_sample(torch.from_numpy(inputs.source), torch.from_numpy(inputs.grid), **case.settings)
    assert close(sampled.numpy(), expected_of(case, inputs))


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@each_type
def test_every_type_and_layout_samples_alike(case: Case, dtype: str, channels_last: bool, way: str) -> None:
    inputs = inputs_of(case, channels=8)
    source, held = rounded(inputs.source, dtype)
    last = torch.channels_last if case.dimensions == 2 else torch.channels_last_3d
    layout = last if channels_last else torch.contiguous_format
    source = source.contiguous(memory_format=layout)
    sampled = run(case, inputs, source, torch.from_numpy(inputs.theta))
    assert sampled.dtype == TYPES[dtype]
    assert sampled.is_contiguous(memory_format=layout)
    assert close(sampled.double().numpy(), expected_of(case, inputs, held), dtype)


@each_case
def test_gradients_are_those_of_the_paper(case: Case, way: str) -> None:
    inputs = inputs_of(case)
    source, theta = (torch.from_numpy(each).requires_grad_() for each in (inputs.source, inputs.theta))
    gradient = np.random.default_rng(1).normal(size=(5, 3, *inputs.output_size)).astype(np.float32)
    run(case, inputs, source, theta).backward(torch.from_numpy(gradient))
    for_source, _, for_theta = expected_gradients(case, inputs, gradient)
    assert source.grad is not None
    assert theta.grad is not None
    assert close_gradient(source.grad.numpy(), for_source)
    assert close_gradient(theta.grad.numpy()[:4], for_theta[:4])
    assert close_gradient(theta.grad.numpy()[4:], for_theta[4:])
    assert (theta.grad[3] == 0).all()
    assert case.mode == "nearest" or np.abs(for_theta[:3]).max() > 1


@each_given
def test_gradients_for_a_grid_are_those_of_the_paper(case: Case, way: str) -> None:
    inputs = inputs_of(case).whole()
    source, grid = (torch.from_numpy(each).requires_grad_() for each in (inputs.source, inputs.grid))
    gradient = np.random.default_rng(1).normal(size=(5, 3, *inputs.output_size)).astype(np.float32)
    grid_sample(source, grid, **case.settings).backward(torch.from_numpy(gradient))
    for_source, for_grid, _ = expected_gradients(case, inputs, gradient)
    assert source.grad is not None
    assert grid.grad is not None
    assert close_gradient(source.grad.numpy(), for_source)
    assert close_gradient(grid.grad.numpy(), for_grid)


@pytest.mark.parametrize("case", [case for case in SOME if case.padding == "border"], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_half_precision_are_summed_in_float32(case: Case, dtype: str, way: str) -> None:
    inputs = inputs_of(case)
    source, held = rounded(inputs.source, dtype)
    drawn = np.random.default_rng(1).normal(size=(5, 3, *inputs.output_size)).astype(np.float32)
    gradient, upstream = rounded(drawn, dtype)
    theta = torch.from_numpy(inputs.theta).requires_grad_()
    source.requires_grad_()
    run(case, inputs, source, theta).backward(gradient)
    for_source, _, for_theta = expected_gradients(case, inputs, upstream, held)
    assert source.grad is not None
    assert theta.grad is not None
    assert source.grad.dtype == TYPES[dtype]
    assert close_gradient(source.grad.double().numpy(), for_source, dtype)
    assert close_gradient(theta.grad.numpy()[:4], for_theta[:4])
