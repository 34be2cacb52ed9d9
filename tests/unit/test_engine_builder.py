"""What the builder asks of TensorRT in each version, and what it refuses; TensorRT itself is a stand-in.

Real builds, by TensorRT-RTX, are in tests/parity/test_engine_builds.py.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from stn_deploy.artifact import Profile, read_artifact, read_engine, sidecar_of
from stn_deploy.errors import ArgumentError, EngineError, MissingDependency, OutputError, StnDeployError
from stn_deploy.export.engine import BuildSettings, build_engine, ort_options
from stn_deploy.export.passes import freeze, inline_function, rewrite
from stn_deploy.runtime.engines.libraries import Library
from tests.fake_cuda import FakeCuda
from tests.fake_engine_library import FakeTensorRT, install_library, left_in, with_version

SMALL = Profile(batch=(1, 2, 4), canvas=((32, 40), (64, 96), (128, 256)))


@pytest.mark.parametrize(("version", "bit"), [("10.0.1.6", 1), ("10.16.0.72", 1), ("11.4.1.0", 0)])
def test_every_version_is_asked_for_a_strongly_typed_network_without_tf32(
    version: str, bit: int, model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, version, cuda)
    record = build_engine(model, tmp_path / "x.engine", BuildSettings(profile=SMALL))
    (network,), (config,) = trt.networks, trt.configs
    assert network.flags == 1 << bit
    assert config.flags == set()
    assert config.hardware_compatibility_level == trt.HardwareCompatibilityLevel.NONE
    assert config.pools == {}
    assert config.profiles == [
        {
            "images": ((1, 32, 40, 3), (2, 64, 96, 3), (4, 128, 256, 3)),
            "extents": ((1, 2), (2, 2), (4, 2)),
        }
    ]
    assert (record.backend, record.version) == ("tensorrt", version)
    assert (record.gpu, record.compute_capabilities) == ("Fake RTX", ("8.6",))
    assert record.spec == read_artifact(model)[1]


def test_options_reach_the_configuration_and_the_record(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, "10.13.3.9", cuda)
    settings = BuildSettings(workspace=256, hardware_compatible=True, version_compatible=True)
    engine = tmp_path / "x.engine"
    record = build_engine(model, engine, settings)
    (config,) = trt.configs
    assert config.flags == {trt.BuilderFlag.VERSION_COMPATIBLE}
    assert config.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS
    assert config.pools == {trt.MemoryPoolType.WORKSPACE: 256 << 20}
    assert (record.workspace, record.hardware_compatible, record.version_compatible) == (256, True, True)
    assert read_engine(engine)[1] == record
    assert (
        json.loads(sidecar_of(engine).read_text())["sha256"]
        == hashlib.sha256(engine.read_bytes()).hexdigest()
    )


def test_a_timing_cache_is_read_and_written_back_and_one_of_another_version_is_refused(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, engine = tmp_path / "deep" / "timing.cache", tmp_path / "x.engine"
    trt = with_version(monkeypatch, "10.13.3.9", cuda)
    settings = BuildSettings(timing_cache=cache)
    build_engine(model, engine, settings)
    assert cache.read_bytes() == b"cache of 10.13.3.9, and more"
    build_engine(model, engine, settings)
    assert trt.configs[-1].cache == b"cache of 10.13.3.9, and more"
    assert cache.read_bytes() == b"cache of 10.13.3.9, and more, and more"
    before = engine.read_bytes()
    with_version(monkeypatch, "10.14.0.1", cuda)
    with pytest.raises(EngineError, match="timing cache of tensorrt 10.14.0.1 on this GPU"):
        build_engine(model, engine, settings)
    assert engine.read_bytes() == before
    assert cache.read_bytes() == b"cache of 10.13.3.9, and more, and more"


def test_a_build_that_fails_tells_the_last_words_of_its_log_and_leaves_nothing(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_library(monkeypatch, FakeTensorRT(cuda=cuda, fails=("one", "two", "three", "four")))
    settings = BuildSettings(timing_cache=tmp_path / "timing.cache")
    with pytest.raises(EngineError, match="two; three; four"):
        build_engine(model, tmp_path / "x.engine", settings)
    assert left_in(tmp_path) == set()


def test_a_library_that_does_not_start_says_why(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_library(monkeypatch, FakeTensorRT(cuda=None))
    with pytest.raises(EngineError, match="does not start: CUDA initialization failure"):
        build_engine(model, tmp_path / "x.engine")
    cuda.count = 0
    with pytest.raises(EngineError, match="expected an NVIDIA GPU and its driver, found none"):
        build_engine(model, tmp_path / "x.engine")
    assert left_in(tmp_path) == set()


def test_a_place_that_cannot_be_written_is_refused_and_nothing_half_written_stays(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.13.3.9", cuda)
    (tmp_path / "folder").mkdir()
    (tmp_path / "x.engine.json").mkdir()
    (tmp_path / "file").write_text("")
    own = tmp_path / "own.onnx"
    own.write_bytes(model.read_bytes())
    before = left_in(tmp_path)
    for to, message in (
        (tmp_path / "folder", "is a folder"),
        (tmp_path / "x.engine", "is a folder"),
        (own, "is the model itself"),
        (tmp_path / "file" / "x.engine", "cannot be written"),
    ):
        with pytest.raises(OutputError, match=message):
            build_engine(own, to)
    assert left_in(tmp_path) == before
    assert own.read_bytes() == model.read_bytes()


def test_a_compute_capability_is_for_the_library_that_can_choose_it(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.13.3.9", cuda)
    with pytest.raises(ArgumentError, match="builds for the GPU of this machine"):
        build_engine(model, tmp_path / "x.engine", BuildSettings(compute_capabilities=("8.6",)))


def test_a_library_that_is_missing_broken_or_old_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=r"stn-deploy\[tensorrt\].*stn-deploy\[tensorrt-rtx\]"):
        build_engine(model, tmp_path / "x.engine")
    install_library(monkeypatch, FakeTensorRT("9.3.0"))
    with pytest.raises(EngineError, match="expected version 10.0 or newer, found 9.3.0"):
        build_engine(model, tmp_path / "x.engine")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plugin": "yes"}, "expected one of auto, on, off"),
        ({"plugin": "off", "plugin_library": Path("x.so")}, "got off"),
        ({"compute_capabilities": ("86",)}, "expected a text such as 8.6, got '86'"),
        ({"compute_capabilities": ("8.6", "8.6")}, "one comes twice"),
        ({"workspace": 0}, "expected 1 to"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        BuildSettings(**settings)


def test_a_file_that_is_no_rectifier_is_refused_before_anything_is_built(
    tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, "10.13.3.9", cuda)
    other = tmp_path / "other.onnx"
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value], [onnx.helper.make_tensor_value_info("y", 1, [1])])
    onnx.save(onnx.helper.make_model(graph), other)
    for path in (other, tmp_path / "absent.onnx"):
        with pytest.raises(StnDeployError):
            build_engine(path, tmp_path / "x.engine")
    assert trt.configs == []


def test_a_frozen_file_gives_its_own_sizes_and_refuses_others(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.13.3.9", cuda)
    frozen, engine = tmp_path / "frozen.onnx", tmp_path / "x.engine"
    rewrite(model, frozen, lambda whole: freeze(whole, batch=3, canvas=(48, 200)))
    assert build_engine(frozen, engine).profile.texts() == ("3", "48x200")
    rewrite(model, frozen, lambda whole: freeze(whole, canvas=(48, 200)))
    assert build_engine(frozen, engine).profile.texts() == ("1:16:64", "48x200")
    assert build_engine(frozen, engine, BuildSettings(profile=Profile.parse("4", "48x200"))).profile.static
    with pytest.raises(ArgumentError, match="frozen; expected batch 4 and canvas 48x200, got 4 and 48x201"):
        build_engine(frozen, engine, BuildSettings(profile=Profile.parse("4", "48x201")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plugin": "on"}, "TensorRT-RTX has no plugins"),
        ({"plugin_library": Path("libx.so")}, "TensorRT-RTX has no plugins"),
        ({"timing_cache": Path("x.cache")}, "times nothing while it builds"),
        ({"hardware_compatible": True}, "runs on every GPU that it is built for"),
        ({"version_compatible": True}, "belongs to the release that built it"),
        (
            {"compute_capabilities": ("8.6", "9.0")},
            "TensorRT-RTX 1.7.1.116 builds for 7.5, 8.6, 12.1; got 9.0",
        ),
    ],
)
def test_what_tensorrt_rtx_cannot_do_is_refused_with_a_reason(settings: dict, message: str) -> None:
    targets = SimpleNamespace(NONE=0, CURRENT=1, SM121=2, SM75=3, SM86=4)
    library = Library("tensorrt-rtx", "1.7.1.116", SimpleNamespace(ComputeCapability=targets))
    BuildSettings(compute_capabilities=("12.1", "7.5"), workspace=9).expect_of(library)
    with pytest.raises(ArgumentError, match=message):
        BuildSettings(**settings).expect_of(library)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compute_capabilities": ("8.6",)}, "builds for the GPU it runs on"),
        ({"version_compatible": True}, "has no such option"),
        ({"plugin": "on"}, "load, got none; name it by --plugin-library"),
    ],
)
def test_what_onnxruntime_has_no_option_for_is_refused(settings: dict, message: str, model: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        ort_options(model, BuildSettings(**settings))


def test_onnxruntime_keeps_the_engines_of_two_models_apart(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    rewrite(model, other, inline_function)
    ours, theirs = (ort_options(path, cache=tmp_path) for path in (model, other))
    assert ours["trt_engine_cache_path"] == theirs["trt_engine_cache_path"] == str(tmp_path)
    assert ours["trt_engine_cache_prefix"] != theirs["trt_engine_cache_prefix"]
    assert ort_options(model)["trt_engine_cache_path"] == str(model.parent / "tensorrt")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend", "other"], "expected one of tensorrt, tensorrt-rtx, onnxruntime, got 'other'"),
        (["--batch", "1:2"], "--batch: expected MIN:OPT:MAX such as 1:16:64"),
        (["--canvas", "64"], "--canvas: expected MIN:OPT:MAX such as 32x32:64x256:256x1024"),
        (["--backend", "tensorrt"], "--output: expected the name of the engine to write, got none"),
    ],
)
def test_the_command_line_refuses_what_it_cannot_read(words: list[str], message: str, model: Path) -> None:
    from typer.testing import CliRunner

    from stn_deploy.cli.app import app

    done = CliRunner().invoke(app, ["build", str(model), *words])
    assert isinstance(done.exception, ArgumentError)
    assert message in str(done.exception)
