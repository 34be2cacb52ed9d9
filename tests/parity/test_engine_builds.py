"""TensorRT-RTX builds every exported file for every GPU, here and without one, and reads what we wrote.

Each version runs in a process of its own, with its folder on PYTHONPATH; ``make engines`` installs them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import onnx
import pytest

from stn_deploy.artifact import read_artifact, read_engine
from stn_deploy.export import export_rectifier
from stn_deploy.export.crops import crops_of
from stn_deploy.export.importing import import_rectifier
from stn_deploy.export.passes import Pass, float16, int8, rewrite, strip_function
from stn_deploy.training import TextRectifier
from tests import published
from tests.engines.install import folder_of
from tests.pictures import Image

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = ("float32", "float16", "int8")
SIZES = ((32, 100), (48, 320), (31, 97))
CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
PROFILES = (("1:16:64", "32x32:64x256:256x1024"), ("3", "41x123"))
LINEAR_WITH_BORDER = ["LINEAR", "CLAMP", False]

Job = dict[str, Any]
Result = dict[str, Any]
Files = Callable[[str, tuple[int, int]], Path]

pytestmark = pytest.mark.tensorrt


def build_all(version: str, jobs: Sequence[Job], folder: Path) -> list[Result]:
    """Results of jobs, by the TensorRT-RTX of a version. folder: empty, for what is passed on."""
    engine = folder_of(f"tensorrt-rtx-{version}")
    if engine is None:
        pytest.skip(f"needs TensorRT-RTX {version}: make engines installs it where it has a wheel")
    (folder / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "engines" / "build_all.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(engine), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[Result] = json.loads((folder / "results.json").read_text())
    assert all(result["version"].startswith(version) for result in results)
    return results


@pytest.fixture(scope="module")
def files(rectifier: TextRectifier, crops: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The random rectifier as a file, by precision and output size."""
    folder = tmp_path_factory.mktemp("precisions")

    def file(precision: str, size: tuple[int, int]) -> Path:
        path = folder / f"{precision}_{size[0]}x{size[1]}.onnx"
        if path.exists():
            return path
        if precision == "float32":
            export_rectifier(rectifier, path, output_size=size)
            return path
        source = file("float32", size)
        change: Pass = float16
        if precision == "int8":
            change = partial(int8, crops=crops_of(crops, read_artifact(source)[1]))
        rewrite(source, path, change)
        return path

    return file


def job(model: Path, engine: Path, profile: tuple[str, str], *capabilities: str) -> Job:
    batch, canvas = profile
    paths = {"model": str(model), "engine": str(engine)}
    return {**paths, "batch": batch, "canvas": canvas, "capabilities": list(capabilities)}


def expect_as_written(job: Job, result: Result) -> None:
    assert result["error"] is None, (job, result["error"])
    assert result["samples"] == [LINEAR_WITH_BORDER] * 2, job  # the thumbnail, and the node
    assert result["plugins"] == [], job


def latin_square() -> list[tuple[str, tuple[int, int], tuple[str, str], str]]:
    """Each precision for each GPU; sizes and profiles take turns, so that a precision has all of them."""
    return [
        (precision, SIZES[(row + column) % 3], PROFILES[(row + column // 3) % 2], capability)
        for row, precision in enumerate(PRECISIONS)
        for column, capability in enumerate(CAPABILITIES)
    ]


def test_the_builds_have_each_precision_with_each_size_and_profile_and_for_each_gpu() -> None:
    rows = latin_square()
    assert {row[:3] for row in rows} == set(product(PRECISIONS, SIZES, PROFILES))
    assert {(row[0], row[3]) for row in rows} == set(product(PRECISIONS, CAPABILITIES))


def with_modes_of_opset_20(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same file as another exporter would write it: GridSample has the mode "linear" since opset 20."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for holder in (changed, *changed.functions):
        for opset in holder.opset_import:
            if opset.domain == "":
                opset.version = 20
    for node in [*changed.graph.node, *(node for each in changed.functions for node in each.node)]:
        for item in node.attribute:
            if node.op_type == "GridSample" and item.name == "mode":
                item.s = b"linear"
    return changed


def export_published(folder: Path) -> Path:
    """A recogniser's rectifier with random weights, from its own file to ours."""
    original = published.trba(colours=3)
    path = folder / "trba.onnx"
    export_rectifier(import_rectifier(original.family, published.save(original, folder)), path)
    return path


Built = dict[str, tuple[Job, Result]]


@pytest.fixture(scope="module", params=["1.7", "1.5"])
def built(request: pytest.FixtureRequest, files: Files, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """What became of each job, by its name: all in one process a version, for its start takes seconds."""
    folder = tmp_path_factory.mktemp(f"rtx-{request.param}")
    model = files("float32", (31, 97))
    for name, change in (("opset_20", with_modes_of_opset_20), ("stripped", strip_function)):
        (folder / name).mkdir()
        rewrite(model, folder / name / "x.onnx", change)
    jobs = {
        f"{precision} {capability}": job(
            files(precision, size), folder / f"{precision}_{capability}.engine", profile, capability
        )
        for precision, size, profile, capability in latin_square()
    }
    jobs["some"] = job(model, folder / "some.engine", PROFILES[0], "7.5", "8.6", "12.0")
    jobs["default"] = job(model, folder / "default.engine", PROFILES[0])
    for name in ("opset_20", "stripped"):
        jobs[name] = job(folder / name / "x.onnx", folder / name / "x.engine", PROFILES[1], "8.6")
    published_model = export_published(folder)
    for capability in ("7.5", "8.6"):
        name = f"trba {capability}"
        jobs[name] = job(published_model, folder / f"{name}.engine", PROFILES[0], capability)
    results = build_all(request.param, list(jobs.values()), folder)
    return {name: (jobs[name], result) for name, result in zip(jobs, results, strict=True)}


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_builds_in_each_precision_for_each_gpu(
    precision: str, capability: str, built: Built
) -> None:
    job, result = built[f"{precision} {capability}"]
    expect_as_written(job, result)
    data, record = read_engine(Path(job["engine"]))
    assert record.to_values() == result["record"]
    assert record.compute_capabilities == (capability,)
    assert record.profile.texts() == (job["batch"], job["canvas"])
    assert record.spec == read_artifact(Path(job["model"]))[1]
    whole = precision != "int8" or not record.version.startswith("1.5")
    assert record.precision == (precision if whole else "int8 weights")
    assert record.plugin is None
    assert record.gpu is None
    assert len(data) == record.size


def test_one_engine_serves_several_gpus_and_by_default_all_that_are_newer_than_turing(built: Built) -> None:
    for name in ("some", "default"):
        expect_as_written(*built[name])
    assert read_engine(Path(built["some"][0]["engine"]))[1].compute_capabilities == ("7.5", "8.6", "12.0")
    default = read_engine(Path(built["default"][0]["engine"]))[1]
    assert default.compute_capabilities == ("8.0", "8.6", "8.9", "12.0")
    assert default.hardware_compatible


@pytest.mark.parametrize("capability", ["7.5", "8.6"])
def test_the_rectifier_of_a_published_recogniser_builds_too(capability: str, built: Built) -> None:
    job, result = built[f"trba {capability}"]
    expect_as_written(job, result)
    assert result["record"]["spec"]["transform"] == "thin_plate_spline"


def test_a_mode_that_the_parser_takes_for_another_is_seen_and_refused(built: Built) -> None:
    """The control of all tests above: the inspection finds what it is there to find."""
    job, result = built["opset_20"]
    if result["version"].startswith("1.7"):
        expect_as_written(job, result)
        return
    assert result["samples"] == [["NEAREST", "CLAMP", False]] * 2
    assert "misunderstands GridSample" in result["error"]
    assert "2 x linear, border" in result["error"]
    assert "2 x nearest, border" in result["error"]
    assert [path.name for path in Path(job["model"]).parent.iterdir()] == ["x.onnx"]


def test_a_file_without_its_function_is_refused_by_its_node(built: Built) -> None:
    job, result = built["stripped"]
    assert result["error"].startswith("EngineError: tensorrt-rtx")
    assert "node node__symbolic (ThetaGridSample)" in result["error"]
    assert [path.name for path in Path(job["model"]).parent.iterdir()] == ["x.onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.7", "1.5"])
def test_an_engine_builds_in_every_combination(version: str, files: Files, tmp_path: Path) -> None:
    if os.environ.get("STN_DEPLOY_ALL_ENGINES") != "1":
        pytest.skip("needs STN_DEPLOY_ALL_ENGINES=1: 108 builds a version, two minutes")
    jobs = [
        job(files(precision, size), tmp_path / "x.engine", profile, capability)
        for precision, size, profile, capability in product(PRECISIONS, SIZES, PROFILES, CAPABILITIES)
    ]
    for each, result in zip(jobs, build_all(version, jobs, tmp_path), strict=True):
        expect_as_written(each, result)
