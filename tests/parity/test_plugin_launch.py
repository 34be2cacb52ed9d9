"""The launch of the kernels from C++, launch.cu: for each way to sample its kernel, its arguments in order.

It is the launch itself that runs, with a CUDA runtime that finds a kernel by its address and emulates it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from tests.plugin_cases import CASES, GIVEN, Case, Inputs, close, expected_of, inputs_of
from tests.plugin_library import emulated_runtime
from tests.plugin_pixels import MODES, PADDINGS, rounded

DTYPES = ("float32", "float16", "bfloat16")
INVALID_VALUE = 1
GOOD = {
    "dimensions": 2,
    "interpolation": 1,
    "padding": 0,
    "align_corners": 0,
    "homogeneous": 0,
    "element": 0,
    "channels_last": 0,
    "n": 1,
    "c": 1,
    "depth": 1,
    "height": 1,
    "width": 1,
    "k": 1,
    "points": 1,
}
"""All numbers of a launch, in their order."""


@cache
def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(emulated_runtime(sanitized=False)))


def launch(given: bool, numbers: dict[str, int], addresses: list[int]) -> int:
    """What the CUDA runtime answers."""
    values = (ctypes.c_int * len(GOOD))(*(GOOD | numbers).values())
    return int(library().stn_launch(int(given), values, (ctypes.c_void_p * len(addresses))(*addresses)))


def sampled(
    case: Case,
    inputs: Inputs,
    *,
    given: bool,
    dtype: str = "float32",
    last: bool = False,
    extents: bool = True,
) -> Any:
    """V, by a launch; with the channels last where that is asked for."""
    source = torch.from_numpy(inputs.source).to(getattr(torch, dtype))
    output = torch.full((*source.shape[:2], *inputs.output_size), float("nan"), dtype=source.dtype)
    if last:
        source, output = source.movedim(1, -1).contiguous(), output.movedim(1, -1).contiguous()
    others = [inputs.grid] if given else [inputs.basis, inputs.theta, inputs.extents]
    arrays = [np.ascontiguousarray(array) for array in others]
    n, c, *space = inputs.source.shape
    numbers = {
        "dimensions": case.dimensions,
        "interpolation": MODES[case.mode],
        "padding": PADDINGS[case.padding],
        "align_corners": int(case.align_corners),
        "homogeneous": int(case.homogeneous),
        "element": DTYPES.index(dtype),
        "channels_last": int(last),
        "n": n,
        "c": c,
        **dict(zip(("depth", "height", "width"), [1, *space][-3:], strict=True)),
        "k": 0 if given else inputs.basis.shape[1],
        "points": int(np.prod(inputs.output_size)),
    }
    addresses = [source.data_ptr(), *(array.ctypes.data for array in arrays), output.data_ptr()]
    if not extents:
        addresses[3] = 0
    assert launch(given, numbers, addresses) == 0
    return (output.movedim(-1, 1) if last else output).float().numpy()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_theta_is_launched_as_the_paper_says(case: Case) -> None:
    inputs = inputs_of(case)
    assert close(sampled(case, inputs, given=False), expected_of(case, inputs))


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_a_grid_is_launched_as_the_paper_says(case: Case) -> None:
    inputs = inputs_of(case).whole()
    assert close(sampled(case, inputs, given=True), expected_of(case, inputs))


@pytest.mark.parametrize("case", [case for case in GIVEN if case.padding == "border"], ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels last"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_type_and_layout_has_its_kernel(case: Case, last: bool, dtype: str) -> None:
    for given in (False, True):
        inputs = inputs_of(case, channels=8).whole() if given else inputs_of(case, channels=8)
        expected = expected_of(case, inputs, rounded(inputs.source, dtype))
        assert close(sampled(case, inputs, given=given, dtype=dtype, last=last), expected, dtype)


@pytest.mark.parametrize("empty", ["n", "c", "points"])
def test_nothing_to_sample_is_a_success_without_a_launch(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STN_NO_KERNEL", "1")
    assert launch(False, {empty: 0}, [0] * 5) == 0
    assert launch(True, {empty: 0, "k": 0}, [0] * 3) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimensions": 4},
        {"interpolation": 3},
        {"dimensions": 3, "interpolation": 2},
        {"padding": -1},
        {"element": 3},
        {"n": -1},
        {"width": 0},
        {"depth": 2},
        {"channels_last": 1, "c": 3},
        {"element": 1, "channels_last": 1, "c": 4},
    ],
    ids=str,
)
def test_what_no_kernel_takes_is_refused(wrong: dict[str, int]) -> None:
    room = np.zeros(64, np.float32)
    addresses = [room.ctypes.data] * 5
    assert launch(False, wrong, addresses) == INVALID_VALUE
    assert launch(True, wrong, addresses[:3]) == INVALID_VALUE
    assert launch(False, {"k": 0}, addresses) == INVALID_VALUE


def test_null_pointers_are_refused_but_that_of_the_extents() -> None:
    room = np.zeros(64, np.float32)
    for given, names in ((False, ("source", "basis", "theta", "extents", "output")), (True, "sgo")):
        for missing in names:
            addresses = [0 if name == missing else room.ctypes.data for name in names]
            expected = 0 if missing == "extents" else INVALID_VALUE
            assert launch(given, {}, addresses) == expected


@pytest.mark.parametrize("given", [False, True])
def test_addresses_that_vectors_cannot_begin_at_are_refused(given: bool) -> None:
    # On a GPU such a launch succeeds, and then nothing else does in this process.
    room = np.zeros(64, np.float32)
    good = room.ctypes.data + -room.ctypes.data % 16
    numbers = {"channels_last": 1, "c": 4}
    assert launch(given, numbers, [good] * 5) == 0
    for place in (0, 2 if given else 4):
        addresses = [good] * 5
        addresses[place] += 4
        assert launch(given, numbers, addresses) == INVALID_VALUE
        assert launch(given, {}, addresses) == 0


@pytest.mark.parametrize("case", CASES[::7], ids=str)
def test_without_extents_every_image_fills_its_canvas(case: Case) -> None:
    inputs = inputs_of(case).whole()
    assert close(sampled(case, inputs, given=False, extents=False), expected_of(case, inputs))
