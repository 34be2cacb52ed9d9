"""Which engine is taken, and what is said of those that were not."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stn_deploy.artifact import sidecar_of
from stn_deploy.errors import ArgumentError, ArtifactError, EngineError, MissingDependency
from stn_deploy.runtime import DEFAULT_MODEL
from stn_deploy.runtime.engines.choice import choose_engine, is_engine_file, start_engine
from stn_deploy.runtime.engines.device import has_driver
from stn_deploy.runtime.engines.ort_device import OrtDeviceGraph
from tests.fake_ort_gpu import CUDA, TENSORRT
from tests.gpu_engines import Bench, expect, expected_of, pictures, plan, record, shipped

DATA, SPEC = shipped()


def here() -> bool:
    return True


def nowhere() -> bool:
    return False


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """A GPU, and an ONNX Runtime that is built for CUDA."""
    found = Bench(monkeypatch)
    monkeypatch.setitem(sys.modules, "onnxruntime", found.ort)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model" / "rectifier.onnx"
    path.parent.mkdir()
    shutil.copy(DEFAULT_MODEL, path)
    return path


def build(path: Path, **changes: Any) -> Path:
    path.write_bytes(plan())
    sidecar_of(path).write_text(record(**changes).to_json())
    return path


def test_without_a_gpu_the_cpu_is_taken_and_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("onnxruntime", "tensorrt", "cuda.bindings", "cuda"):
        monkeypatch.setitem(sys.modules, module, None)  # importing it raises
    expected = "CPU, for no NVIDIA GPU is here (no driver shows one in /dev)"
    assert choose_engine(DEFAULT_MODEL, driver=nowhere).reason == expected
    engine, choice = start_engine(DEFAULT_MODEL, DATA, SPEC, driver=nowhere)
    assert engine is None
    assert (choice.kind, choice.reason) == ("cpu", expected)
    for name in ("cuda", "tensorrt"):
        with pytest.raises(
            EngineError, match=f"engine {name}: no NVIDIA GPU is here .* engine cpu needs none"
        ):
            choose_engine(DEFAULT_MODEL, name, driver=nowhere)
    assert choose_engine(DEFAULT_MODEL, "cpu", driver=here).reason == "CPU, as asked for"


def test_an_unknown_engine_is_refused() -> None:
    for call in (choose_engine, lambda model, name: start_engine(model, DATA, SPEC, name)):
        with pytest.raises(ArgumentError, match="expected one of auto, cpu, cuda, tensorrt, got 'gpu'"):
            call(DEFAULT_MODEL, "gpu")


def test_a_driver_is_seen_by_what_it_shows(tmp_path: Path) -> None:
    assert not has_driver(tmp_path)
    (tmp_path / "nvidiactl").touch()
    assert not has_driver(tmp_path), "there is a driver, and no GPU"
    for name in ("nvidia0", "nvhost-gpu", "dxg"):
        (tmp_path / name).touch()
        assert has_driver(tmp_path)
        (tmp_path / name).unlink()


def test_cuda_is_taken_where_onnx_runtime_has_it(bench: Bench, model: Path) -> None:
    engine, choice = start_engine(model, DATA, SPEC, driver=here)
    assert choice.kind == "cuda"
    assert choice.reason.startswith("CUDA, in ONNX Runtime; passed over: TensorRT: ONNX Runtime")
    assert "was built without TensorrtExecutionProvider" in choice.reason
    assert engine is not None
    images = pictures(4)
    expect(engine.straighten(images), expected_of(images))
    engine.close()
    assert bench.cuda.live == {}


def test_what_is_missing_is_named_with_how_to_get_it(
    bench: Bench, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ort.built_with = ()
    choice = choose_engine(model, driver=here)
    assert choice.kind == "cpu"
    for part in (
        "TensorRT: ONNX Runtime",
        "CUDA: ONNX Runtime",
        "pip install onnxruntime-gpu",
        "stn-deploy build",
    ):
        assert part in choice.reason
    with pytest.raises(
        MissingDependency, match="engine cuda: cannot run here: CUDA: ONNX Runtime .* was built"
    ):
        choose_engine(model, "cuda", driver=here)
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingDependency, match="cuda-bindings is not installed .pip install cuda-bindings"):
        choose_engine(model, "cuda", driver=here)
    monkeypatch.undo()
    assert choose_engine(model, driver=here).kind == "cpu"


def test_an_engine_beside_the_model_is_taken_where_it_fits(bench: Bench, model: Path) -> None:
    (model.parent / "notes.json").write_text("{}")
    fits = build(model.with_name("b.engine"))
    build(model.with_name("a.engine"), compute_capabilities=("7.5",))
    engine, choice = start_engine(model, DATA, SPEC, driver=here)
    assert (choice.kind, choice.file) == ("tensorrt", fits)
    assert choice.reason == "TensorRT, for b.engine was built from this model and fits this GPU"
    assert engine is not None
    images = pictures(4)
    expect(engine.straighten(images), expected_of(images))
    engine.close()
    fits.unlink()
    choice = choose_engine(model, driver=here)
    assert choice.kind == "cuda"
    assert "a.engine: was built for another GPU" in choice.reason
    with pytest.raises(MissingDependency, match="engine tensorrt: cannot run here: .*for another GPU"):
        choose_engine(model, "tensorrt", driver=here)


def test_an_engine_that_does_not_start_is_passed_over_and_one_that_was_asked_for_raises(
    bench: Bench, model: Path
) -> None:
    bench.ort.starts = ()  # built for CUDA, whose libraries are not there
    engine, choice = start_engine(model, DATA, SPEC, driver=here)
    assert engine is None
    assert choice.kind == "cpu"
    assert "cuda did not start: ONNX Runtime" in choice.reason
    assert "its CUDA, cuDNN or TensorRT is missing or does not fit" in choice.reason
    with pytest.raises(EngineError, match="expected it to use CUDAExecutionProvider"):
        start_engine(model, DATA, SPEC, "cuda", driver=here)
    assert bench.cuda.live == {}
    bench.ort.starts = (CUDA,)
    with pytest.MonkeyPatch.context() as patch:  # what nobody has foreseen
        patch.setattr(bench.cuda, "cudaMalloc", None)
        engine, choice = start_engine(model, DATA, SPEC, driver=here)
        assert (engine, choice.kind) == (None, "cpu")
        assert "cuda did not start: 'NoneType' object is not callable" in choice.reason
        with pytest.raises(TypeError):
            start_engine(model, DATA, SPEC, "cuda", driver=here)
    bench.cuda.count = 0  # the driver's file is there, the driver does not answer
    bench.cuda.break_call("cudaFree")
    assert start_engine(model, DATA, SPEC, driver=here)[1].kind == "cpu"


def test_a_built_engine_as_the_model_is_run_by_tensorrt_alone(bench: Bench, tmp_path: Path) -> None:
    path = build(tmp_path / "mine.engine")
    assert is_engine_file(path)
    assert not is_engine_file(DEFAULT_MODEL)
    engine, choice = start_engine(path, None, SPEC, driver=here)
    assert (choice.kind, choice.reason) == ("tensorrt", "TensorRT, for the model is a built engine")
    assert engine is not None
    engine.close()
    for name in ("cpu", "cuda"):
        with pytest.raises(
            EngineError, match=f"which TensorRT alone runs; .* got {name}; give the .onnx file"
        ):
            choose_engine(path, name, driver=here)
    other = build(tmp_path / "other.engine", compute_capabilities=("9.0",))
    with pytest.raises(EngineError, match="was built for another GPU"):  # nothing else could run it
        start_engine(other, None, SPEC, driver=here)
    with pytest.raises(ArtifactError, match="no such file"):
        start_engine(tmp_path / "none.engine", None, SPEC, driver=here)


def test_tensorrt_in_onnx_runtime_is_taken_once_it_has_built(bench: Bench, model: Path) -> None:
    bench.ort.built_with = bench.ort.starts = (TENSORRT, CUDA)
    choice = choose_engine(model, digest=SPEC.digest, driver=here)
    assert choice.kind == "cuda"
    assert "would build for minutes first (engine='tensorrt' does it, once)" in choice.reason
    engine, choice = start_engine(model, DATA, SPEC, "tensorrt", driver=here)
    assert choice.kind == "tensorrt"
    assert choice.cache is not None
    assert choice.cache.is_dir()
    assert SPEC.digest in choice.cache.name
    assert engine is not None
    images = pictures(3)
    expect(engine.straighten(images), expected_of(images))
    said = bench.ort.sessions[-1].get_provider_options()[TENSORRT]
    assert said["trt_engine_cache_path"] == str(choice.cache)
    assert said["trt_profile_min_shapes"] == "images:1x32x32x3,extents:1x2"
    assert said["trt_profile_opt_shapes"] == "images:16x64x256x3,extents:16x2"
    assert said["trt_profile_max_shapes"] == "images:64x512x2048x3,extents:64x2"
    engine.close()
    (choice.cache / "TensorrtExecutionProvider_1.engine").touch()
    assert choose_engine(model, digest=SPEC.digest, driver=here).reason == "TensorRT, in ONNX Runtime"


def test_what_a_file_fixes_is_the_only_size_of_its_batches(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stn_deploy.runtime.engines.device import Device

    real = type(bench.ort).InferenceSession

    def frozen(self: Any, *arguments: Any, **named: Any) -> Any:
        session = real(self, *arguments, **named)
        monkeypatch.setattr(
            type(session), "get_inputs", lambda _: [SimpleNamespace(shape=[5, 64, "width", 3])], raising=False
        )
        return session

    monkeypatch.setattr(type(bench.ort), "InferenceSession", frozen)
    with Device() as device:
        buckets = OrtDeviceGraph(DATA, SPEC, device, device.stream()).buckets
    assert (buckets.heights, buckets.batch) == ((64,), (5, 5))
    assert buckets.widths[-1] == 2048
    assert [batch.size for batch in buckets.plan([(64, 100)] * 7)] == [5, 5]


def test_a_file_that_onnx_runtime_refuses_is_told(bench: Bench) -> None:
    from stn_deploy.runtime.engines.device import Device

    with Device() as device, pytest.raises(ArtifactError, match="refuses it with CUDAExecutionProvider"):
        OrtDeviceGraph(b"no model", SPEC, device, device.stream())
