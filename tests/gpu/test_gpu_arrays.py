"""The fused kernels on arrays of CuPy, on a GPU, against the paper's sampler: the table of the emulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stn_deploy.plugins import arrays
from tests.plugin_cases import CASES, GIVEN, Case, Inputs, close, expected_of, inputs_of

TYPES = ("float32", "float16", "bfloat16")
SOME = [case for case in CASES if case.homogeneous == case.align_corners]
"""Where types and layouts are tried on top: they change how values are read, not where."""


def dtype_of(name: str) -> Any:
    """A type as CuPy knows it."""
    if name != "bfloat16":
        return np.dtype(name)
    return pytest.importorskip("ml_dtypes", reason="needs ml_dtypes: CuPy's bfloat16").bfloat16


def run(cupy: Any, case: Case, inputs: Inputs, source: Any, **more: Any) -> Any:
    basis, theta, extents = (cupy.asarray(each) for each in (inputs.basis, inputs.theta, inputs.extents))
    return arrays.theta_grid_sample(
        source,
        basis,
        theta,
        extents,
        output_size=inputs.output_size,
        homogeneous=case.homogeneous,
        **case.settings,
        **more,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_theta_samples_as_the_paper_says(cupy: Any, case: Case) -> None:
    inputs = inputs_of(case)
    found = cupy.asnumpy(run(cupy, case, inputs, cupy.asarray(inputs.source)))
    assert found.shape == (5, 3, *inputs.output_size)
    assert close(found, expected_of(case, inputs))


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_a_grid_samples_as_the_paper_says(cupy: Any, case: Case) -> None:
    inputs = inputs_of(case).whole()
    source, grid = cupy.asarray(inputs.source), cupy.asarray(inputs.grid)
    found = arrays.grid_sample(source, grid, **case.settings)
    assert close(cupy.asnumpy(found), expected_of(case, inputs))


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_and_layout_samples_alike(cupy: Any, case: Case, channels_last: bool, dtype: str) -> None:
    inputs = inputs_of(case, channels=40)  # more than a block samples
    held = inputs.source.astype(dtype_of(dtype))
    source = cupy.asarray(held)
    if channels_last:
        source = cupy.moveaxis(cupy.ascontiguousarray(cupy.moveaxis(source, 1, -1)), -1, 1)
    found = run(cupy, case, inputs, source)
    assert found.dtype == held.dtype
    assert cupy.moveaxis(found, 1, -1).flags.c_contiguous is channels_last
    expected = expected_of(case, inputs, held.astype(np.float64))
    assert close(cupy.asnumpy(found), expected, dtype)


WAIT = """
extern "C" __global__ void wait(long long cycles) {
    const long long start = clock64();
    while (clock64() - start < cycles) {}
}
"""


@pytest.mark.parametrize("named", [None, "stream", "address"])
def test_work_is_queued_on_the_stream_that_is_named(cupy: Any, named: str | None) -> None:
    """The source is filled late: a kernel on any other stream would find zeros."""
    case = CASES[12]
    inputs = inputs_of(case)
    source, *rest = (
        cupy.asarray(each) for each in (inputs.source, inputs.basis, inputs.theta, inputs.extents)
    )
    settings = {**case.settings, "output_size": inputs.output_size, "homogeneous": case.homogeneous}
    arrays.theta_grid_sample(source, *rest, **settings)  # loads the kernel
    stream, wait = cupy.cuda.Stream(non_blocking=True), cupy.RawKernel(WAIT, "wait")
    wait((1,), (1,), (np.int64(1),))
    with stream:
        late = cupy.zeros_like(source)
    cupy.cuda.Device().synchronize()
    with stream:
        wait((1,), (1,), (np.int64(100_000_000),))
        cupy.copyto(late, source)
        if named is None:
            found = arrays.theta_grid_sample(late, *rest, **settings)
    if named is not None:
        by = stream if named == "stream" else stream.ptr
        found = arrays.theta_grid_sample(late, *rest, **settings, stream=by)
    stream.synchronize()
    assert close(cupy.asnumpy(found), expected_of(case, inputs))


def test_arrays_of_torch_are_taken_as_they_are(cupy: Any, torch_gpu: str) -> None:
    import torch

    case = CASES[12]
    inputs = inputs_of(case)
    given = [
        torch.from_numpy(each).to(torch_gpu)
        for each in (inputs.source, inputs.basis, inputs.theta, inputs.extents)
    ]
    given[0] = given[0].bfloat16()
    out = torch.full((5, 3, *inputs.output_size), torch.nan, dtype=torch.bfloat16, device=torch_gpu)
    settings = {**case.settings, "output_size": inputs.output_size, "homogeneous": case.homogeneous}
    arrays.theta_grid_sample(*given, **settings, out=out)
    torch.cuda.synchronize()
    held = given[0].double().cpu().numpy()
    assert close(out.double().cpu().numpy(), expected_of(case, inputs, held), "bfloat16")


def test_without_extents_images_fill_their_canvas(cupy: Any) -> None:
    case = CASES[12]
    inputs = inputs_of(case).whole()
    given = [cupy.asarray(each) for each in (inputs.source, inputs.basis, inputs.theta)]
    settings = {**case.settings, "output_size": inputs.output_size, "homogeneous": case.homogeneous}
    found = arrays.theta_grid_sample(*given, **settings)
    assert close(cupy.asnumpy(found), expected_of(case, inputs))


@pytest.mark.parametrize("extent", [0.0, -1.0, 1e9, float("nan"), float("inf")])
def test_no_extent_leads_past_the_canvas(cupy: Any, extent: float) -> None:
    """At least a pixel is valid, and at most the canvas, whatever an extent says."""
    inputs = inputs_of(CASES[12]).whole()
    outside = Inputs(**{**vars(inputs), "extents": np.full_like(inputs.extents, extent)})
    found = cupy.asnumpy(run(cupy, CASES[12], outside, cupy.asarray(inputs.source)))
    whole = extent > 1
    size = inputs.source.shape[2:] if whole else (1, 1)
    expected = expected_of(CASES[12], Inputs(**{**vars(inputs), "valid": [size] * 5}))
    assert close(found, expected)


def test_nothing_to_sample_is_no_launch(cupy: Any) -> None:
    basis = cupy.zeros((20, 5), "float32")
    empty = arrays.theta_grid_sample(
        cupy.zeros((0, 3, 7, 12), "float16"), basis, cupy.zeros((0, 5, 2), "float32"), output_size=(5, 4)
    )
    assert empty.shape == (0, 3, 5, 4)
    assert empty.dtype == np.float16


def test_a_source_of_more_than_2_to_the_31_elements_is_read_to_its_end(cupy: Any) -> None:
    channels, size = 33_000, (256, 256)
    needed = 2 * channels * size[0] * size[1]
    free, _ = cupy.cuda.runtime.memGetInfo()
    if free < 1.2 * needed:
        pytest.skip(f"needs {1.2 * needed / 2**30:.0f} GiB of free memory, has {free / 2**30:.0f}")
    source = cupy.zeros((1, channels, *size), "float16")
    last = cupy.random.default_rng(0).standard_normal((1, 40, *size), dtype="float32").astype("float16")
    source[:, -40:] = last
    basis = cupy.asarray(np.random.default_rng(1).uniform(-1, 1, (20, 2)), "float32")
    theta = cupy.asarray([[[0.9, 0.1], [-0.2, 0.8]]], "float32")
    whole = arrays.theta_grid_sample(source, basis, theta, output_size=(5, 4))
    part = arrays.theta_grid_sample(last, basis, theta, output_size=(5, 4))
    assert bool((whole[:, -40:] == part).all())
    assert float(abs(part).max()) > 1
    assert not bool(whole[:, :-40].any())
