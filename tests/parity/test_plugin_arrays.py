"""The fused kernels on arrays, emulated, against the paper's sampler."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stn_deploy.plugins import arrays
from tests.device_arrays import DlpackArray
from tests.emulated_launcher import EmulatedLauncher
from tests.plugin_cases import CASES, GIVEN, Case, Inputs, close, expected_of, inputs_of


@pytest.fixture(autouse=True)
def launcher(monkeypatch: pytest.MonkeyPatch) -> EmulatedLauncher:
    emulated = EmulatedLauncher()
    monkeypatch.setattr(arrays, "gpu_launcher", lambda: emulated)
    return emulated


def array_of(values: np.ndarray) -> DlpackArray:
    return DlpackArray(torch.from_numpy(np.ascontiguousarray(values)))


def output_for(inputs: Inputs) -> torch.Tensor:
    return torch.full((*inputs.source.shape[:2], *inputs.output_size), torch.nan)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_theta_samples_as_the_paper_says(case: Case) -> None:
    inputs = inputs_of(case)
    given: list[Any] = [inputs.source, inputs.basis, inputs.theta, inputs.extents]
    out = output_for(inputs)
    arrays.theta_grid_sample(
        *map(array_of, given),
        output_size=inputs.output_size,
        homogeneous=case.homogeneous,
        out=DlpackArray(out),
        **case.settings,
    )
    assert close(out.numpy(), expected_of(case, inputs))


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_a_grid_samples_as_the_paper_says(case: Case) -> None:
    inputs = inputs_of(case).whole()
    out = output_for(inputs)
    arrays.grid_sample(array_of(inputs.source), array_of(inputs.grid), out=DlpackArray(out), **case.settings)
    assert close(out.numpy(), expected_of(case, inputs))
