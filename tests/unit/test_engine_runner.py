"""Running an engine: the runner moves every byte to the GPU and back; GPU and library are stand-ins.

The stand-in runs the very model in ONNX Runtime, so that results must be equal bit by bit.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stn_deploy.artifact import Profile, read_artifact, sidecar_of
from stn_deploy.errors import ArgumentError, EngineError
from stn_deploy.export.engine import BuildSettings, build_engine
from stn_deploy.export.passes import float16, rewrite
from stn_deploy.runtime.canvas import pack_canvas
from stn_deploy.runtime.engines.engine_file import EngineFile
from stn_deploy.runtime.engines.ort import OrtFullGraph
from stn_deploy.runtime.engines.trt import TrtFullGraph
from tests.fake_cuda import FakeCuda
from tests.fake_engine_library import PLUGIN_FILE, FakeTensorRT, install_library
from tests.pictures import Image

SETTINGS = BuildSettings(profile=Profile(batch=(1, 4, 16), canvas=((2, 2), (64, 256), (256, 1024))))


@pytest.fixture
def trt(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    return install_library(monkeypatch, FakeTensorRT(cuda=cuda))


@pytest.fixture
def engine(model: Path, tmp_path: Path, trt: FakeTensorRT) -> Path:
    path = tmp_path / "x.engine"
    build_engine(model, path, SETTINGS)
    return path


def batches(crops: list[Image]) -> list[tuple[np.ndarray, np.ndarray]]:
    """One image, many, few again: buffers grow and are used again; the array is not contiguous once."""
    one, many, few = pack_canvas(crops[:1]), pack_canvas(crops, canvas=(203, 511)), pack_canvas(crops[1:4])
    mirrored = (np.ascontiguousarray(few[0][:, :, ::-1])[:, :, ::-1], few[1])
    assert not mirrored[0].flags.c_contiguous
    return [one, many, few, mirrored, one]


def test_an_engine_gives_what_its_model_gives_whatever_the_batch(
    engine: Path, model: Path, crops: list[Image], cuda: FakeCuda
) -> None:
    reference = OrtFullGraph(read_artifact(model)[0])
    with TrtFullGraph(engine) as runner:
        kept = []
        for images, extents in batches(crops):
            rectified, (theta, score) = runner.run(images, extents)
            expected, (expected_theta, expected_score) = reference.run(np.ascontiguousarray(images), extents)
            for found, right in ((rectified, expected), (theta, expected_theta), (score, expected_score)):
                assert found.dtype == np.float32
                np.testing.assert_array_equal(found, right)
            kept.append((rectified, expected))
        for rectified, expected in kept:  # later batches do not write into earlier results
            np.testing.assert_array_equal(rectified, expected)
        assert len(cuda.memory) == 5
    assert cuda.memory == {}
    assert cuda.streams == {}


def test_an_engine_is_held_against_the_gpu_that_it_is_to_run_on(
    engine: Path, crops: list[Image], cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    capabilities = [(7, 5), (8, 6)]

    def properties(index: int) -> tuple[Any, Any]:
        major, minor = capabilities[index]
        return cuda.cudaError_t.cudaSuccess, SimpleNamespace(name=b"Fake\0", major=major, minor=minor)

    monkeypatch.setattr(cuda, "count", 2)
    monkeypatch.setattr(cuda, "cudaGetDeviceProperties", properties)
    with TrtFullGraph(engine, gpu=1) as runner:
        runner.run(*pack_canvas(crops))
    assert cuda.used == {1}
    assert cuda.device == 0, "the caller's own choice of a GPU stays"
    with pytest.raises(EngineError, match="built for another GPU"):
        TrtFullGraph(engine)


def test_half_precision_comes_back_as_float32(
    model: Path, tmp_path: Path, crops: list[Image], trt: FakeTensorRT
) -> None:
    half = tmp_path / "half.onnx"
    rewrite(model, half, float16)
    assert build_engine(half, tmp_path / "half.engine", SETTINGS).precision == "float16"
    images, extents = pack_canvas(crops[:3])
    with TrtFullGraph(tmp_path / "half.engine") as runner:
        rectified, _ = runner.run(images, extents)
    assert rectified.dtype == np.float32
    expected, _ = OrtFullGraph(read_artifact(half)[0]).run(images, extents)
    np.testing.assert_array_equal(rectified, expected.astype(np.float32))


def test_inputs_that_do_not_fit_are_refused_before_the_gpu_sees_them(engine: Path, cuda: FakeCuda) -> None:
    with TrtFullGraph(engine) as runner:
        images, extents = np.zeros((2, 30, 40, 3), np.uint8), np.ones((2, 2), np.float32)
        for wrong, message in (
            ((images[..., :2], extents), r"expected \(n, H, W, 3\) uint8, got \(2, 30, 40, 2\) uint8"),
            ((images.astype(np.float32), extents), r"uint8, got \(2, 30, 40, 3\) float32"),
            ((images, extents[:1]), r"expected \(2, 2\) float32, got \(1, 2\)"),
            ((images, extents.astype(float)), r"float32, got \(2, 2\) float64"),
            ((np.zeros((17, 30, 40, 3), np.uint8), np.ones((17, 2), np.float32)), "1 to 16 images, got 17"),
            ((np.zeros((2, 257, 40, 3), np.uint8), extents), "256 x 1024 pixels .*, got 257 x 40"),
        ):
            with pytest.raises(ArgumentError, match=message):
                runner.run(*wrong)
        assert cuda.memory == {}


def test_a_gpu_without_room_says_so_and_can_go_on(engine: Path, crops: list[Image], cuda: FakeCuda) -> None:
    images, extents = pack_canvas(crops[:3])
    with TrtFullGraph(engine) as runner:
        first, _ = runner.run(images, extents)
        room, cuda.room = cuda.room, 1000
        with pytest.raises(EngineError, match="CUDA: cudaMalloc failed: cudaErrorMemoryAllocation"):
            runner.run(*pack_canvas(crops, canvas=(250, 900)))
        cuda.room = room
        np.testing.assert_array_equal(runner.run(images, extents)[0], first)
    assert cuda.memory == {}


def test_an_engine_that_fails_or_was_closed_says_so(engine: Path, crops: list[Image]) -> None:
    images, extents = pack_canvas(crops[:1])
    runner = TrtFullGraph(engine)
    runner._context.breaks = True
    with pytest.raises(EngineError, match="the engine failed"):
        runner.run(images, extents)
    runner.close()
    runner.close()
    with pytest.raises(EngineError, match="was closed"):
        runner.run(images, extents)


def test_an_engine_that_the_library_refuses_gives_its_memory_back(
    engine: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stn_deploy.artifact import read_engine

    data, record = read_engine(engine)
    install_library(monkeypatch, FakeTensorRT("10.13.3.10", cuda=cuda))
    with pytest.raises(EngineError, match=r"refuses it: expecting library version.*stn-deploy build"):
        TrtFullGraph(EngineFile(path=engine, data=data, record=record))
    assert cuda.streams == {}


def test_a_version_compatible_engine_runs_in_a_newer_version(
    model: Path,
    tmp_path: Path,
    crops: list[Image],
    trt: FakeTensorRT,
    cuda: FakeCuda,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "x.engine"
    build_engine(model, path, BuildSettings(profile=SETTINGS.profile, version_compatible=True))
    newer = install_library(monkeypatch, FakeTensorRT("11.1.0.0", cuda=cuda))
    with TrtFullGraph(path) as runner:
        runner.run(*pack_canvas(crops[:1]))
    assert newer.runtimes[0].engine_host_code_allowed


def test_an_engine_with_the_plugin_loads_its_library_from_beside_it_and_no_other(
    model: Path, tmp_path: Path, trt: FakeTensorRT, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, path = tmp_path / "libplugin.so", tmp_path / "x.engine"
    library.write_bytes(PLUGIN_FILE)
    build_engine(model, path, BuildSettings(plugin="on", plugin_library=library, profile=SETTINGS.profile))
    fresh = install_library(monkeypatch, FakeTensorRT(cuda=cuda))
    TrtFullGraph(path).close()
    assert [creator.name for creator in fresh.registry.all_creators] == ["ThetaGridSample"]
    library.write_bytes(PLUGIN_FILE + b" of another version")
    with pytest.raises(EngineError, match="expected libplugin.so of SHA-256 [0-9a-f]{12} beside it, found"):
        TrtFullGraph(path)
    library.rename(tmp_path / "moved.so")
    with pytest.raises(EngineError, match="found none; put it beside the engine, name it"):
        TrtFullGraph(path)
    (tmp_path / "moved.so").write_bytes(PLUGIN_FILE)
    TrtFullGraph(path, plugin_library=tmp_path / "moved.so").close()
    assert cuda.streams == {}


def test_what_the_plugin_refuses_while_it_runs_reaches_the_user(
    model: Path, crops: list[Image], tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, path = tmp_path / "libplugin.so", tmp_path / "x.engine"
    library.write_bytes(PLUGIN_FILE)
    install_library(monkeypatch, FakeTensorRT(cuda=cuda))
    build_engine(model, path, BuildSettings(plugin="on", plugin_library=library, profile=SETTINGS.profile))
    with TrtFullGraph(path) as runner:
        runner._context.breaks = "ThetaGridSample: theta: expected 14 rows like the basis, got 13"
        for _ in range(2):  # each run tells its own reason, once
            with pytest.raises(EngineError, match=r"^the engine failed: ThetaGridSample: .* got 13$"):
                runner.run(*pack_canvas(crops[:1]))


def test_the_example_of_the_guide_runs(
    engine: Path, crops: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```py\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    engine.rename(engine.with_name("mine.engine"))
    sidecar_of(engine).rename(engine.with_name("mine.engine.json"))
    monkeypatch.chdir(engine.parent)
    names: dict[str, Any] = {"crops": crops[:5]}
    exec(compile(example, "docs/guide.md", "exec"), names)
    assert names["rectified"].shape == (5, 3, 24, 70)
    assert names["theta"].shape == (5, 14, 2)
