"""``stn-deploy build`` as a user runs it, with the real TensorRT-RTX, on a machine without a GPU."""

from __future__ import annotations

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from stn_deploy.artifact import read_artifact
from stn_deploy.runtime import DEFAULT_MODEL
from tests.engines.install import folder_of
from tests.system.conftest import Run


@pytest.fixture
def with_rtx(run: Run, tmp_path: Path) -> Run:
    """Run ``stn-deploy`` where TensorRT-RTX is installed, in a folder with rectifier.onnx."""
    folder = folder_of("tensorrt-rtx-1.7")
    if folder is None:
        pytest.skip("needs TensorRT-RTX 1.7: make engines installs it where it has a wheel")
    (tmp_path / "rectifier.onnx").write_bytes(DEFAULT_MODEL.read_bytes())
    return partial(run, library=folder)


@pytest.mark.tensorrt
def test_build_writes_an_engine_and_its_record_and_info_shows_it(with_rtx: Run, tmp_path: Path) -> None:
    done = with_rtx(
        "build",
        "rectifier.onnx",
        "-o",
        "rectifier.engine",
        "--compute-capability",
        "8.6",
        "--batch",
        "1:8:32",
    )
    assert done.returncode == 0, done.stderr
    assert "building with tensorrt-rtx 1.7" in done.stderr
    assert done.stdout.startswith("wrote rectifier.engine (")
    assert "for tensorrt-rtx 1.7.1.116, compute capability 8.6" in done.stdout
    shown = with_rtx("info", "rectifier.engine", "--json")
    values = json.loads(shown.stdout)
    assert values["compute_capabilities"] == ["8.6"]
    assert values["profile"]["batch"] == [1, 8, 32]
    assert values["spec"]["digest"] == read_artifact(DEFAULT_MODEL)[1].digest
    assert values["size"] == (tmp_path / "rectifier.engine").stat().st_size
    table = with_rtx("info", "rectifier.engine").stdout
    assert "tensorrt-rtx" in table
    assert values["spec"]["digest"] in table
    assert {path.name for path in tmp_path.iterdir()} == {
        "rectifier.onnx",
        "rectifier.engine",
        "rectifier.engine.json",
    }


@pytest.mark.tensorrt
def test_what_tensorrt_rtx_cannot_do_is_refused_with_a_reason_and_leaves_nothing(
    with_rtx: Run, tmp_path: Path
) -> None:
    (tmp_path / "cut.onnx").write_bytes(DEFAULT_MODEL.read_bytes()[:5000])
    before = sorted(tmp_path.iterdir())
    for model, arguments, message in (
        ("rectifier.onnx", ["--plugin", "on"], "TensorRT-RTX has no plugins"),
        ("rectifier.onnx", ["--workspace", "1"], "no tactics to implement the operation within workspace"),
        ("cut.onnx", [], "cut.onnx: not an .onnx file, or damaged"),
    ):
        done = with_rtx("build", model, "-o", "x.engine", *arguments)
        assert done.returncode == 2, arguments
        assert message in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "rectifier.onnx").read_bytes() == DEFAULT_MODEL.read_bytes()


def test_without_a_library_the_extras_are_named(run: Run, tmp_path: Path) -> None:
    if find_spec("tensorrt") or find_spec("tensorrt_rtx_bindings"):
        pytest.skip("needs an environment without TensorRT")
    done = run("build", DEFAULT_MODEL, "-o", "x.engine")
    assert done.returncode == 2
    assert "stn-deploy[tensorrt]" in done.stderr
    assert "stn-deploy[tensorrt-rtx]" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_onnxruntime_gets_its_options_for_the_same_sizes(run: Run, tmp_path: Path) -> None:
    """Names and values as ONNX Runtime documents them: text, shapes as name:1x2x3."""
    shown = run(
        *(
            "build",
            DEFAULT_MODEL,
            "--backend",
            "onnxruntime",
            "--batch",
            "1:2:4",
            "--canvas",
            "8x9:10x11:12x13",
        ),
        *("--workspace", "3", "--hardware-compatible", "--plugin-library", "libx.so", "-o", "options.json"),
    )
    assert shown.returncode == 0, shown.stderr
    options = json.loads((tmp_path / "options.json").read_text())
    assert all(isinstance(value, str) for value in options.values())
    assert options["trt_profile_min_shapes"] == "images:1x8x9x3,extents:1x2"
    assert options["trt_profile_opt_shapes"] == "images:2x10x11x3,extents:2x2"
    assert options["trt_profile_max_shapes"] == "images:4x12x13x3,extents:4x2"
    assert options["trt_max_workspace_size"] == str(3 * 2**20)
    assert options["trt_engine_hw_compatible"] == "1"
    assert options["trt_extra_plugin_lib_paths"] == "libx.so"
    assert options["trt_fp16_enable"] == options["trt_int8_enable"] == "0"
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
