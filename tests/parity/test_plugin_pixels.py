"""The C++ plugin samples: enqueue, from descriptions and addresses to pixels, with the kernels on the host.

Each tensor has a block of memory of exactly its size, and the sanitizer watches what lies around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.plugin_cases import CASES, GIVEN, Case, close, expected_of, inputs_of
from tests.plugin_library import NO_HEADERS, Harness, headers, version_of
from tests.plugin_pixels import by_grid, by_theta, rounded

pytestmark = pytest.mark.skipif(not headers(), reason=NO_HEADERS)

SOME = [case for case in CASES if case.homogeneous == case.align_corners]
"""Where types and layouts are tried on top: they change how values are read, not where."""


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    """One for all: none of what is sampled may depend on what was sampled before."""
    with Harness.on_host(headers()[-1]) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_theta_samples_as_the_paper_says(harness: Harness, case: Case, tmp_path: Path) -> None:
    inputs = inputs_of(case)
    expected = expected_of(case, inputs)
    assert np.ptp(expected) > 1
    assert close(by_theta(harness, tmp_path, case, inputs), expected)


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_a_grid_samples_as_the_paper_says(harness: Harness, case: Case, tmp_path: Path) -> None:
    inputs = inputs_of(case).whole()
    assert close(by_grid(harness, tmp_path, case, inputs), expected_of(case, inputs))


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels last"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_rounds_what_is_read_and_written_and_nothing_between(
    harness: Harness, case: Case, last: bool, dtype: str, tmp_path: Path
) -> None:
    inputs = inputs_of(case)
    expected = expected_of(case, inputs, rounded(inputs.source, dtype))
    assert close(by_theta(harness, tmp_path, case, inputs, dtype=dtype, last=last), expected, dtype)


@pytest.mark.parametrize("channels", [1, 8, 9, 40])
def test_channels_that_fill_up_the_last_vector_are_nobody_else_s(
    harness: Harness, channels: int, tmp_path: Path
) -> None:
    for case in (CASES[0], CASES[-1]):
        inputs = inputs_of(case, channels=channels)
        expected = expected_of(case, inputs, rounded(inputs.source, "float16"))
        for last in (False, True):
            found = by_theta(harness, tmp_path, case, inputs, dtype="float16", last=last)
            assert close(found, expected, "float16")
        given = inputs.whole()
        expected = expected_of(case, given, rounded(given.source, "float16"))
        found = by_grid(harness, tmp_path, case, given, dtype="float16", last=True)
        assert close(found, expected, "float16")


@pytest.mark.parametrize("major", [10, 11])
@pytest.mark.parametrize("newer", ["library", "TensorRT"])
def test_a_library_is_for_every_minor_version_of_its_tensorrt(major: int, newer: str, tmp_path: Path) -> None:
    same = [folder for folder in headers() if version_of(folder)[0] == major]
    if len(same) < 2:
        pytest.skip(f"needs headers of two versions of TensorRT {major}: TENSORRT_INCLUDE")
    tensorrt, library = (same[0], same[-1]) if newer == "library" else (same[-1], same[0])
    case = CASES[-1]
    inputs = inputs_of(case)
    with Harness.on_host(tensorrt, library_of=library) as mixed:
        assert close(by_theta(mixed, tmp_path, case, inputs), expected_of(case, inputs))
