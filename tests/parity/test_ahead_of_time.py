"""The way of an ahead-of-time plugin through TensorRT, to the pixels of the launch that it wrote down.

The registry and the classes of plugins are those of the lean runtimes, tensorrt.plugin is NVIDIA's own code;
the recorded launch runs in the emulation of the kernels.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stn_deploy.export.node import NodeKind
from stn_deploy.plugins.ahead_of_time.ptx import PTX
from stn_deploy.stn import reference_sample
from tests.emulation import emulate
from tests.engines.install import FOLDER, folder_of
from tests.node_models import KINDS, SIZES, expected_of, inputs_for, words
from tests.tolerances import SAMPLE

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("10.15", "11.4")
DYNAMIC = {"n": 3}
"""Lengths that a job leaves open; those of U are added."""
ROUNDING = {"FLOAT": 0.0, "HALF": 2.0**-11, "BF16": 2.0**-8}
"""What one rounding to an element changes, as a part of the value."""

pytestmark = pytest.mark.tensorrt


def walk(version: str, jobs: list[dict[str, Any]], release: str = "") -> list[dict[str, Any]]:
    """What TensorRT learns of each job; release: the version that it says it is."""
    folder = folder_of(f"tensorrt-lean-{version}")
    if folder is None:
        pytest.skip(f"needs {FOLDER}/tensorrt-lean-{version}: make engines installs it where it has a wheel")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "engines" / "walk_ahead.py"), release],
        input=json.dumps(jobs),
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def theta_job(kind: NodeKind, element: str = "FLOAT", **changes: Any) -> dict[str, Any]:
    """A node of a kind on `inputs_for` it; batch and size of U are open. changes: of attributes."""
    size, output = SIZES[kind.dimensions]
    space = ["d", "h", "w"][-kind.dimensions :]
    points = int(np.prod(output))
    attributes = {
        **{name: value for name, value in kind.attributes.items() if isinstance(value, int)},
        "output_size": list(output),
        **changes,
    }
    inputs = [
        [element, ["n", 2, *space]],
        ["FLOAT", [points, 5]],
        ["FLOAT", ["n", 5, kind.dimensions + kind.homogeneous]],
        ["FLOAT", ["n", kind.dimensions]],
    ]
    lengths = {**DYNAMIC, **dict(zip(space, size, strict=True))}
    return {"op_type": "ThetaGridSample", "attributes": attributes, "inputs": inputs, "lengths": lengths}


def given_job(kind: NodeKind, *, align_corners: bool) -> dict[str, Any]:
    """A node with a grid of a kind; the size of V is open, too."""
    size, output = SIZES[kind.dimensions]
    space = ["d", "h", "w"][-kind.dimensions :]
    attributes = {
        "interpolation": kind.attributes["interpolation"],
        "padding": kind.attributes["padding"],
        "align_corners": int(align_corners),
    }
    opened = [f"output {name}" for name in space]
    inputs = [["FLOAT", ["n", 2, *space]], ["FLOAT", ["n", *opened, kind.dimensions]]]
    lengths = {**DYNAMIC, **dict(zip([*space, *opened], [*size, *output], strict=True))}
    return {"op_type": "GivenGridSample", "attributes": attributes, "inputs": inputs, "lengths": lengths}


KINDS_GIVEN = [kind for kind in KINDS if not kind.homogeneous]
JOBS = {
    **{("theta", words(kind), "FLOAT"): theta_job(kind) for kind in KINDS},
    **{("theta", words(KINDS[2]), kind): theta_job(KINDS[2], kind) for kind in ("HALF", "BF16")},
    **{
        ("given", words(kind), str(aligned)): given_job(kind, align_corners=aligned)
        for kind in KINDS_GIVEN
        for aligned in (False, True)
    },
}


@functools.cache
def walked(version: str, release: str = "") -> dict[tuple[str, str, str], dict[str, Any]]:
    """All jobs of `JOBS`, walked in one process."""
    return dict(zip(JOBS, walk(version, list(JOBS.values()), release), strict=True))


def with_element(values: np.ndarray, element: str) -> np.ndarray:
    """Values in the memory of a GPU; bfloat16 as the upper halves of float32, rounded."""
    if element == "HALF":
        return values.astype(np.float16)
    if element == "BF16":
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return values.astype(np.float32)


def as_float(values: np.ndarray) -> np.ndarray:
    return (
        (values.astype(np.uint32) << 16).view(np.float32)
        if values.dtype == np.uint16
        else values.astype(np.float32)
    )


def launched(result: dict[str, Any], name: str, inputs: list[np.ndarray]) -> np.ndarray:
    """What the launch that a walk recorded writes; name: of the kernel as the emulation has it."""
    element, shape = result["output"]
    output = with_element(np.full(shape, 77.0), element)
    assert result["blocks"][1:] == result["threads"][1:] == [1, 1]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in [*inputs, output]]
    integers = [ctypes.c_int32(value) for value in result["scalars"]]
    emulate(name, result["blocks"][0], result["threads"][0], [*pointers[:-1], *integers, pointers[-1]])
    return as_float(output)


def refused_by_numpy(result: dict[str, Any], version: str, key: tuple[str, str, str]) -> bool:
    """Volumes with theta cannot be told their size by old bindings beside a new NumPy."""
    if version == "10.15" and key[0] == "theta" and key[1].startswith("3d") and np.__version__ >= "2":
        assert "one of three lengths with NumPy 2; install 'numpy<2'" in result["error"]
        return True
    return False


@pytest.mark.parametrize("version", VERSIONS)
def test_the_recorded_launch_of_every_kind_gives_the_pixels_of_the_paper(version: str) -> None:
    for key, result in walked(version).items():
        if key[0] == "given" or refused_by_numpy(result, version, key):
            continue
        assert "error" not in result, (key, result)
        (kind,) = (each for each in KINDS if words(each) == key[1])
        inputs = inputs_for(kind)
        source = with_element(inputs["source"], key[2])
        expected = expected_of(kind, {**inputs, "source": as_float(source)})
        assert result["output"] == [key[2], list(expected.shape)]
        found = launched(result, result["name"], [source, *list(inputs.values())[1:]])
        allowed = SAMPLE + ROUNDING[key[2]] * np.abs(expected)
        assert (np.abs(found - expected) <= allowed).all(), key


@pytest.mark.parametrize("version", VERSIONS)
def test_a_given_grid_is_sampled_likewise_with_corners_aligned_or_not(version: str) -> None:
    import torch

    rng = np.random.default_rng(1)
    for key, result in walked(version).items():
        if key[0] == "theta":
            continue
        assert "error" not in result, (key, result)
        (kind,) = (each for each in KINDS_GIVEN if words(each) == key[1])
        size, output = SIZES[kind.dimensions]
        source = rng.normal(size=(3, 2, *size)).astype(np.float32)
        grid = rng.uniform(-1.4, 1.4, (3, *output, kind.dimensions)).astype(np.float32)
        found = launched(result, result["name"], [source, grid])
        if key[2] == "True":
            mode = "bilinear" if kind.interpolation == "trilinear" else kind.interpolation
            tensors = (torch.from_numpy(source).double(), torch.from_numpy(grid).double())
            expected = torch.nn.functional.grid_sample(
                *tensors, mode=mode, padding_mode=kind.padding, align_corners=True
            ).numpy()
        else:
            expected = reference_sample(source, grid, mode=kind.interpolation, padding=kind.padding)
        # Twice: with its corners aligned, torch itself folds and clips in another order.
        assert np.abs(found - expected).max() <= 2 * SAMPLE, key


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_stored_in_the_engine_is_the_shipped_text_with_the_kernel_in_it(version: str) -> None:
    for key, result in walked(version).items():
        if not refused_by_numpy(result, version, key):
            file = re.sub(r"_(f32|f16|bf16)$", ".ptx", result["name"])
            assert result["ptx"] == (PTX / file).read_text()
            assert f".entry {result['name']}(" in result["ptx"]
            assert (result["threads"][0], result["shared"]) == (128, 0)


def test_types_may_be_any_of_three_for_source_and_output_alone() -> None:
    result = walked("11.4")["theta", words(KINDS[0]), "FLOAT"]
    linear = [
        [[kind, "LINEAR"], *[["FLOAT", "LINEAR"]] * 3, [kind, "LINEAR"]] for kind in ("FLOAT", "HALF", "BF16")
    ]
    assert result["combinations"] == linear


BAD_TYPES = {
    0: ("INT32", "source: expected FLOAT or HALF or BF16, got INT32"),
    2: ("HALF", "theta: expected FLOAT, got HALF"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_does_not_fit_is_refused_and_the_reason_is_kept_for_the_user(version: str) -> None:
    """TensorRT itself would print the reason and say that no plugin could be made."""
    kind = KINDS[0]
    jobs, messages = [], []
    for place, (element, message) in BAD_TYPES.items():
        jobs.append(theta_job(kind))
        jobs[-1]["inputs"][place][0] = element
        messages.append(message)
    jobs.append(theta_job(kind))
    jobs[-1]["inputs"][2][1] = ["n", 6, 2]
    messages.append("theta: expected (n, 5, 2), got (?, 6, 2); basis has k = 5")
    jobs.append(theta_job(kind, interpolation=7))
    messages.append("interpolation: expected one of 0 (nearest), 1 (bilinear), 2 (bicubic), got 7")
    jobs.append(theta_job(kind))
    del jobs[-1]["attributes"]["padding"]
    messages.append("ThetaGridSample: expected the attributes interpolation, padding, ")
    jobs.append(theta_job(kind))
    jobs[-1]["inputs"][1][1] = ["p", 5]
    messages.append("basis: expected (")  # 20, or 25 where only the first length of the output arrives
    results = walk(version, jobs)
    for result, message in zip(results, messages, strict=True):
        assert result["error"].startswith(message)
        assert result["problems"] == [result["error"]]
    assert results[-1]["error"].endswith("fixed, got (?, 5)")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_older_version_is_given_a_name_that_it_does_not_forget(version: str) -> None:
    """Before 10.14 the bindings free the name before TensorRT reads it, unless it is short."""
    for key, result in walked(version, "10.13.3.9").items():
        if refused_by_numpy(result, version, key):
            continue
        whole = walked(version)[key]
        assert result["name"] == "stn_deploy"
        assert len(result["name"]) <= 15
        assert result["ptx"].count(".entry stn_deploy(") == 1
        assert re.sub(r"\bstn_deploy\b", whole["name"], result["ptx"]) == whole["ptx"]
        assert {**result, "name": "", "ptx": ""} == {**whole, "name": "", "ptx": ""}


def test_the_renamed_text_still_assembles(tmp_path: Path) -> None:
    folder = folder_of("cuda-13.0")
    if folder is None:
        pytest.skip(f"needs {FOLDER}/cuda-13.0: make engines installs it where it has a wheel")
    text = tmp_path / "renamed.ptx"
    text.write_text(walked("11.4", "10.9.0.34")["theta", words(KINDS[2]), "FLOAT"]["ptx"])
    assembler = folder / "nvidia" / "cu13" / "bin" / "ptxas"
    command = [str(assembler), "-arch=sm_75", str(text), "-o", str(tmp_path / "out.cubin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
