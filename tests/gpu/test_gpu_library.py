"""The C++ plugin on a GPU: enqueue of the library that CMake and nvcc build, against the paper's sampler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin_build import harness_on_gpu, library_for
from tests.plugin_cases import CASES, GIVEN, Case, close, expected_of, inputs_of
from tests.plugin_library import NO_HEADERS, Harness, headers
from tests.plugin_pixels import by_grid, by_theta, rounded

pytestmark = pytest.mark.skipif(not headers(), reason=NO_HEADERS)

SOME = [case for case in CASES if case.homogeneous == case.align_corners]
"""Where types and layouts are tried on top: they change how values are read, not where."""


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    """One for all: none of what is sampled may depend on what was sampled before."""
    include = headers()[-1]
    with Harness(harness_on_gpu(include), library_for(include, "native")) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_theta_samples_as_the_paper_says(harness: Harness, case: Case, tmp_path: Path) -> None:
    inputs = inputs_of(case)
    assert close(by_theta(harness, tmp_path, case, inputs), expected_of(case, inputs))


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_a_grid_samples_as_the_paper_says(harness: Harness, case: Case, tmp_path: Path) -> None:
    inputs = inputs_of(case).whole()
    assert close(by_grid(harness, tmp_path, case, inputs), expected_of(case, inputs))


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels last"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_type_and_layout_samples_alike(
    harness: Harness, case: Case, last: bool, dtype: str, tmp_path: Path
) -> None:
    inputs = inputs_of(case, channels=40)  # more than a block samples
    expected = expected_of(case, inputs, rounded(inputs.source, dtype))
    assert close(by_theta(harness, tmp_path, case, inputs, dtype=dtype, last=last), expected, dtype)


def test_code_for_another_gpu_alone_is_refused_with_the_fix(tmp_path: Path) -> None:
    include, case = headers()[-1], CASES[0]
    # Machine code of Jetson Thor runs nowhere else, and text of it is not there.
    thor = library_for(include, "110-real")
    refused = pytest.raises(AssertionError, match="launch: cudaError.* stn-deploy plugin build")
    with Harness(harness_on_gpu(include), thor) as harness, refused:
        by_theta(harness, tmp_path, case, inputs_of(case))
