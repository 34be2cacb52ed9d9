"""The shipped PTX with its arguments written out, in the order in which TensorRT hands them over.

That is inputs, whole numbers, outputs. Neither `stn_deploy.plugins.launch` nor its table is asked; CuPy loads
and launches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.plugin_cases import (
    CASES,
    Case,
    close,
    close_gradient,
    expected_gradients,
    expected_of,
    inputs_of,
)

FOLDER = "stn_deploy/plugins/kernels/ptx"
THREADS = 128
FLAT = Case(2, "bicubic", "reflection", False, True)
DEEP = Case(3, "trilinear", "zeros", True, False)


def function_of(cupy: Any, root: Any, module: str, name: str) -> Any:
    return cupy.RawModule(path=str(root / FOLDER / f"{module}.ptx")).get_function(name)


@pytest.fixture
def root(pytestconfig: pytest.Config) -> Any:
    return pytestconfig.rootpath


def integers(*values: int) -> list[np.int32]:
    return [np.int32(value) for value in values]


def test_a_theta_on_images(cupy: Any, root: Any) -> None:
    inputs = inputs_of(FLAT)
    source, basis, theta, extents = (
        cupy.asarray(each) for each in (inputs.source, inputs.basis, inputs.theta, inputs.extents)
    )
    output = cupy.full((5, 3, 5, 4), cupy.nan, "float32")
    n, c, depth, height, width, k, points = 5, 3, 1, 7, 12, 5, 20
    padding, align_corners, homogeneous = 2, 0, 1
    sizes = integers(n, c, depth, height, width, k, points, padding, align_corners, homogeneous)
    kernel = function_of(cupy, root, "theta_grid_sample_2d_cubic", "theta_grid_sample_2d_cubic_f32")
    # One tile of 128 positions x one group of 32 channels x five images.
    kernel((5,), (THREADS,), (source, basis, theta, extents, *sizes, output))
    assert FLAT in CASES
    assert close(cupy.asnumpy(output), expected_of(FLAT, inputs))


def test_a_grid_on_volumes(cupy: Any, root: Any) -> None:
    inputs = inputs_of(DEEP, channels=8).whole()
    source = cupy.asarray(inputs.source.astype(np.float16))
    last = cupy.ascontiguousarray(cupy.moveaxis(source, 1, -1))
    grid = cupy.asarray(inputs.grid)
    output = cupy.full((5, 3, 2, 5, 8), cupy.nan, "float16")
    n, c, depth, height, width, points, padding, align_corners = 5, 8, 4, 7, 5, 30, 1, 1
    sizes = integers(n, c, depth, height, width, points, padding, align_corners)
    name = "grid_sample_3d_linear_f16_channels_last"
    function_of(cupy, root, "grid_sample_3d_linear", name)((5,), (THREADS,), (last, grid, *sizes, output))
    expected = expected_of(DEEP, inputs, cupy.asnumpy(source).astype(np.float64))
    assert close(np.moveaxis(cupy.asnumpy(output), -1, 1), expected, "float16")


def test_gradients_of_a_theta(cupy: Any, root: Any) -> None:
    inputs = inputs_of(FLAT)
    upstream = np.random.default_rng(1).normal(size=(5, 3, 5, 4)).astype(np.float32)
    source, basis, theta, extents, gradient = (
        cupy.asarray(each) for each in (inputs.source, inputs.basis, inputs.theta, inputs.extents, upstream)
    )
    for_source, for_theta = cupy.zeros_like(source), cupy.zeros_like(theta)
    sizes = integers(5, 3, 1, 7, 12, 5, 20, 2, 0, 1)
    name = "theta_grid_sample_backward_2d_cubic"
    kernel = function_of(cupy, root, name, f"{name}_f32")
    kernel((5,), (THREADS,), (source, basis, theta, extents, gradient, *sizes, for_source, for_theta))
    expected = expected_gradients(FLAT, inputs, upstream)
    assert close_gradient(cupy.asnumpy(for_source), expected[0])
    assert close_gradient(cupy.asnumpy(for_theta)[:4], expected[2][:4])


def test_gradients_of_a_grid(cupy: Any, root: Any) -> None:
    inputs = inputs_of(DEEP).whole()
    upstream = np.random.default_rng(1).normal(size=(5, 3, 3, 2, 5)).astype(np.float32)
    source, grid, gradient = (cupy.asarray(each) for each in (inputs.source, inputs.grid, upstream))
    for_source, for_grid = cupy.zeros_like(source), cupy.zeros_like(grid)
    sizes = integers(5, 3, 4, 7, 5, 30, 1, 1)
    name = "grid_sample_backward_3d_linear"
    kernel = function_of(cupy, root, name, f"{name}_f32")
    kernel((5,), (THREADS,), (source, grid, gradient, *sizes, for_source, for_grid))
    expected = expected_gradients(DEEP, inputs, upstream)
    assert close_gradient(cupy.asnumpy(for_source), expected[0])
    assert close_gradient(cupy.asnumpy(for_grid), expected[1])
