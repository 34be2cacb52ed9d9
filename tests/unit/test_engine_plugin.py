"""How the plugin comes into an engine, in each version of TensorRT, and what is said where it cannot."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner

from stn_deploy.artifact import read_record, sidecar_of
from stn_deploy.cli.app import app
from stn_deploy.errors import EngineError
from stn_deploy.export.engine import BuildSettings, build_engine, ort_options
from stn_deploy.export.passes import inline_function, rewrite
from stn_deploy.plugins.ahead_of_time.ptx import PTX
from stn_deploy.plugins.library import compiler as compilers
from stn_deploy.plugins.library import find as finding
from stn_deploy.plugins.library import headers as headings
from stn_deploy.plugins.library import read_marker
from stn_deploy.plugins.library.recipe import AUTOLOAD, LIBRARY
from stn_deploy.runtime.engines.trt import TrtFullGraph
from tests.fake_cuda import FakeCuda
from tests.fake_engine_library import FakeTensorRT, install_library, left_in, plugin_file, with_version
from tests.fake_nvcc import calls_of, write_headers, write_nvcc

OLD = ["10.0.1.6", "10.3.0.26", "10.7.0.23", "10.8.0.43"]
NEW = ["10.9.0.34", "10.13.3.9", "10.15.1.29", "11.1.0.0"]
FILE = "theta_grid_sample_2d_linear.ptx"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has neither compiler nor headers nor libraries."""
    monkeypatch.setattr(headings, "SYSTEM", ())
    monkeypatch.setattr(compilers, "USUAL", ())
    monkeypatch.setattr(compilers, "_of_wheels", list)
    monkeypatch.setattr(finding, "PREBUILT", tmp_path / "prebuilt")
    for name in ("CUDA_HOME", "CUDA_PATH", "TENSORRT_ROOT", "STN_DEPLOY_PLUGIN_LIBRARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def library_for(version: str, folder: Path, **changes: Any) -> Path:
    path = folder / "libplugin.so"
    path.write_bytes(plugin_file(".".join(version.split(".")[:3]), **changes))
    return path


def layers_of(trt: FakeTensorRT) -> list[str]:
    return [layer.type.name for layer in trt.networks[-1].layers]


ON, OFF = ["PLUGIN_V3", "GRID_SAMPLE"], ["GRID_SAMPLE", "GRID_SAMPLE"]


@pytest.mark.parametrize("version", [*OLD, *NEW])
def test_a_library_takes_the_node_in_every_version_and_leaves_it_where_it_is_off(
    version: str, model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, version, cuda)
    library = library_for(version, tmp_path)
    described = {
        "kind": "library",
        "file": "libplugin.so",
        "sha256": hashlib.sha256(library.read_bytes()).hexdigest(),
    }
    for plugin in ("on", "auto"):
        settings = BuildSettings(plugin=plugin, plugin_library=library)
        assert build_engine(model, tmp_path / "on.engine", settings).plugin == described
        assert layers_of(trt) == ON
        assert bool(trt.networks[-1].model.functions) == (trt.release >= (10, 7))  # stripped for older ones
    # The library stays loaded in this process; off must hold against that.
    assert build_engine(model, tmp_path / "off.engine", BuildSettings(plugin="off")).plugin is None
    assert layers_of(trt) == OFF
    assert build_engine(model, tmp_path / "auto.engine", BuildSettings(plugin="auto")).plugin == described
    assert build_engine(model, tmp_path / "auto.engine", BuildSettings(plugin="on")).plugin == described


@pytest.mark.parametrize("version", NEW)
def test_from_10_9_on_the_plugin_needs_no_library_and_only_where_it_is_asked_for(
    version: str, model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, version, cuda)
    engine = tmp_path / "x.engine"
    text = PTX / FILE
    described = {
        "kind": "ahead of time",
        "file": FILE,
        "sha256": hashlib.sha256(text.read_bytes()).hexdigest(),
    }
    for _ in range(2):  # the plugin is described once in a process
        assert build_engine(model, engine, BuildSettings(plugin="on")).plugin == described
        assert layers_of(trt) == ON
        assert bool(trt.networks[-1].model.functions)
    name, stored = trt.kernels[-1]
    short = trt.release < (10, 14)
    assert name == ("stn_deploy" if short else "theta_grid_sample_2d_linear_f32")
    assert f".entry {name}(" in stored
    assert (stored == text.read_text()) is not short
    assert read_record(engine).plugin == described
    for plugin in ("auto", "off"):  # it stays described, and is not taken
        assert build_engine(model, engine, BuildSettings(plugin=plugin)).plugin is None
        assert layers_of(trt) == OFF


def test_an_engine_with_stored_ptx_is_loaded_without_any_library_and_info_says_so(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.15.1.29", cuda)
    engine = tmp_path / "x.engine"
    build_engine(model, engine, BuildSettings(plugin="on"))
    fresh = with_version(monkeypatch, "10.15.1.29", cuda)
    TrtFullGraph(engine).close()
    assert fresh.registry.all_creators == []
    said = "".join(CliRunner().invoke(app, ["info", str(engine)]).stdout.split())
    assert f"kindaheadoftime,file{FILE},sha256" in "".join(said.split("│"))


def test_a_library_takes_the_place_of_what_an_earlier_build_had_ahead_of_time(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.15.1.29", cuda)
    kinds = []
    library = library_for("10.15.1.29", tmp_path)
    for settings in (
        BuildSettings(plugin="on"),
        BuildSettings(plugin_library=library),
        BuildSettings(plugin="on"),
    ):
        plugin = build_engine(model, tmp_path / "x.engine", settings).plugin
        assert plugin is not None
        kinds.append(plugin["kind"])
    assert kinds == ["ahead of time", "library", "library"]  # it cannot be unloaded


def test_a_plugin_that_the_program_has_loaded_is_taken_as_it_is(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, "10.13.3.9", cuda)
    trt.registry.load_library(str(library_for("10.13.3", tmp_path)))
    for plugin in ("auto", "on"):
        record = build_engine(model, tmp_path / "x.engine", BuildSettings(plugin=plugin))
        assert record.plugin == {"kind": "library", "file": "", "sha256": ""}


def test_the_function_runs_where_there_is_no_plugin(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, "10.13.3.9", cuda)
    record = build_engine(model, tmp_path / "x.engine", BuildSettings(plugin="auto"))
    assert record.plugin is None
    assert layers_of(trt) == OFF
    assert [(item["interpolation"], item["padding"]) for item in record.layers] == [("linear", "border")] * 2


def test_before_10_9_the_library_is_built_when_the_plugin_is_asked_for_and_kept(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = write_nvcc(tmp_path / "cuda")
    write_headers(tmp_path / "trt", "10.3.0")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    monkeypatch.setenv("TENSORRT_ROOT", str(tmp_path / "trt"))
    told: list[tuple[Any, ...]] = []

    class Watching:
        def begin(self, phase: str, parent: str | None, steps: int) -> None:
            told.append(("begin", phase, parent, steps))

        def step(self, phase: str, done: int) -> None:
            told.append(("step", phase, done))

        def end(self, phase: str) -> None:
            told.append(("end", phase))

    trt = with_version(monkeypatch, "10.3.0.26", cuda)
    engine = tmp_path / "x.engine"
    plugin = build_engine(model, engine, BuildSettings(plugin="on"), progress=Watching()).plugin
    assert layers_of(trt) == ON
    (built,) = (tmp_path / "cache" / "stn-deploy" / "plugins").glob(f"*/{LIBRARY}")
    sha256 = hashlib.sha256(built.read_bytes()).hexdigest()
    assert plugin == {"kind": "library", "file": LIBRARY, "sha256": sha256}
    compiling = [item for item in told if item[1] == "compiling the plugin"]
    steps = compiling[0][3]
    assert compiling[0] == ("begin", "compiling the plugin", None, steps)
    assert compiling[-2:] == [("step", "compiling the plugin", steps), ("end", "compiling the plugin")]
    calls = len(calls_of(nvcc))
    with_version(monkeypatch, "10.3.0.26", cuda)  # another process
    assert build_engine(model, engine, BuildSettings(plugin="on")).plugin == plugin
    assert len(calls_of(nvcc)) == calls
    trt = with_version(monkeypatch, "10.3.0.26", cuda)
    assert build_engine(model, engine, BuildSettings(plugin="auto")).plugin is None  # nobody asked for it


def test_where_no_library_can_be_had_both_reasons_are_told_and_nothing_is_left(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.3.0.26", cuda)
    with pytest.raises(
        EngineError, match=r"found none \(prebuilt: none.*none can be built \(NvInfer.h: expected"
    ):
        build_engine(model, tmp_path / "x.engine", BuildSettings(plugin="on"))
    assert left_in(tmp_path) == set()


def test_the_variable_names_a_library_for_every_build_but_those_without(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = library_for("11.1.0.0", tmp_path)
    monkeypatch.setenv("STN_DEPLOY_PLUGIN_LIBRARY", str(library))
    for plugin in ("auto", "on"):
        with_version(monkeypatch, "11.1.0.0", cuda)
        taken = build_engine(model, tmp_path / "x.engine", BuildSettings(plugin=plugin)).plugin
        assert taken is not None
        assert taken["file"] == library.name
    trt = with_version(monkeypatch, "11.1.0.0", cuda)
    assert build_engine(model, tmp_path / "x.engine", BuildSettings(plugin="off")).plugin is None
    assert trt.registry.all_creators == []


def test_a_library_that_does_not_fit_is_refused_before_it_is_loaded(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, "11.1.0.0", cuda)
    monkeypatch.setattr(trt.registry, "load_library", None)
    engine, library = tmp_path / "x.engine", tmp_path / "libplugin.so"
    for data, message in (
        (plugin_file("10.9.0"), r"was built for TensorRT 10.9.0; expected one for TensorRT 11.1.0.0"),
        (plugin_file("11.1.0", architectures="90-real"), r"has code for 90-real; expected some for 8.6"),
        (b"something else", "got another file"),
    ):
        library.write_bytes(data)
        with pytest.raises(EngineError, match=message):
            build_engine(model, engine, BuildSettings(plugin_library=library))
    with pytest.raises(EngineError, match="none.so cannot be read"):
        build_engine(model, engine, BuildSettings(plugin_library=tmp_path / "none.so"))
    assert left_in(tmp_path) == set()


def test_a_second_library_in_one_process_is_refused(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, "10.9.0.34", cuda)
    engine, library = tmp_path / "x.engine", library_for("10.9.0.34", tmp_path)
    build_engine(model, engine, BuildSettings(plugin_library=library))
    library.write_bytes(plugin_file("10.9.0", note=b"rebuilt"))
    with pytest.raises(
        EngineError, match=r"cannot be loaded, as libplugin.so, SHA-256 .* begin a new process"
    ):
        build_engine(model, engine, BuildSettings(plugin_library=library))
    trt = with_version(monkeypatch, "10.9.0.34", cuda)
    trt.registry.load_library(str(library))
    with pytest.raises(EngineError, match="cannot be loaded, as another one is in this process"):
        build_engine(model, engine, BuildSettings(plugin_library=library))


def test_a_library_that_does_not_load_says_so_with_what_tensorrt_says(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = with_version(monkeypatch, "10.9.0.34", cuda)
    library = library_for("10.9.0.34", tmp_path)

    def load_library(path: str) -> None:
        trt.registry.error_recorder.report_error(1, f"Unable to load library: {path}: undefined symbol")

    monkeypatch.setattr(trt.registry, "load_library", load_library)
    with pytest.raises(
        EngineError, match=r"libplugin.so does not load \(Unable to load library: .*undefined symbol"
    ):
        build_engine(model, tmp_path / "x.engine", BuildSettings(plugin_library=library))


def test_what_a_library_refuses_reaches_the_user(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "ThetaGridSample: theta: expected (n, 14, 2), got (n, 13, 2)"
    trt = install_library(monkeypatch, FakeTensorRT("10.9.0.34", cuda=cuda, refuses=reason))
    settings = BuildSettings(plugin_library=library_for("10.9.0.34", tmp_path))
    with pytest.raises(EngineError) as caught:
        build_engine(model, tmp_path / "x.engine", settings)
    assert f"Could not create the plugin.; export it again, or with --function inline ({reason})" in str(
        caught.value
    )
    assert trt.registry.error_recorder is None  # ours is gone again
    own = object()
    trt.registry.error_recorder = own
    trt.refuses = ""
    build_engine(model, tmp_path / "x.engine", settings)
    assert trt.registry.error_recorder is own


def test_what_is_refused_ahead_of_time_reaches_the_user(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_padding(whole: onnx.ModelProto) -> onnx.ModelProto:
        (node,) = (node for node in whole.graph.node if node.op_type == "ThetaGridSample")
        (padding,) = (item for item in node.attribute if item.name == "padding")
        padding.i = 9
        return whole

    with_version(monkeypatch, "11.1.0.0", cuda)
    bad = tmp_path / "bad.onnx"
    rewrite(model, bad, with_padding)
    message = r"Could not create the plugin.*\(padding: expected one of 0 \(border\).*, got 9\)"
    with pytest.raises(EngineError, match=message):
        build_engine(bad, tmp_path / "x.engine", BuildSettings(plugin="on"))
    build_engine(model, tmp_path / "x.engine", BuildSettings(plugin="on"))  # what was heard is forgotten


def test_onnxruntime_is_given_the_library_that_has_tensorrt_load_the_other(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(**settings: Any) -> str | None:
        return ort_options(model, BuildSettings(**settings)).get("trt_extra_plugin_lib_paths")

    library, autoload = tmp_path / LIBRARY, tmp_path / AUTOLOAD
    assert given() is None
    assert given(plugin_library=library) == str(library)
    autoload.write_bytes(b"")
    assert given(plugin_library=library) == given(plugin="on", plugin_library=autoload) == str(autoload)
    monkeypatch.setenv("STN_DEPLOY_PLUGIN_LIBRARY", str(library))
    assert given(plugin="on") == given() == str(autoload)
    assert given(plugin="off") is None


@pytest.mark.parametrize("version", ["10.3.0.26", "11.1.0.0"])
def test_a_file_without_the_node_has_nothing_for_the_plugin(
    version: str, model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, version, cuda)
    inlined = tmp_path / "inlined.onnx"
    rewrite(model, inlined, inline_function)
    settings = BuildSettings(plugin="on", plugin_library=library_for(version, tmp_path))
    with pytest.raises(EngineError, match="passed it over"):
        build_engine(inlined, tmp_path / "x.engine", settings)
    assert left_in(tmp_path) == {"inlined.onnx"}


def test_what_a_build_offered_ahead_of_time_is_not_in_the_way_of_an_engine_that_needs_the_library(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.15.1.29", cuda)
    library, engine = library_for("10.15.1.29", tmp_path), tmp_path / "x.engine"
    build_engine(model, engine, BuildSettings(plugin_library=library))
    trt = with_version(monkeypatch, "10.15.1.29", cuda)  # another process
    build_engine(model, tmp_path / "other.engine", BuildSettings(plugin="on"))
    assert trt.registry.all_creators == []
    with pytest.raises(EngineError):  # also where a build fails
        build_engine(model, tmp_path / "other.engine", BuildSettings(plugin="on", timing_cache=tmp_path))
    assert trt.registry.all_creators == []
    TrtFullGraph(engine).close()
    (creator,) = trt.registry.all_creators
    assert not hasattr(creator, "make"), "the library's, not that of Python"


def test_an_engine_for_other_gpus_gets_a_library_with_code_for_them(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nvcc(tmp_path / "cuda")
    write_headers(tmp_path / "trt", "10.3.0")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    monkeypatch.setenv("TENSORRT_ROOT", str(tmp_path / "trt"))
    cuda.properties.major, cuda.properties.minor = 9, 0
    with_version(monkeypatch, "10.3.0.26", cuda)
    engine, folder = tmp_path / "x.engine", tmp_path / "cache" / "stn-deploy" / "plugins"
    build_engine(model, engine, BuildSettings(plugin="on"))
    (alone,) = folder.glob(f"*/{LIBRARY}")
    with_version(monkeypatch, "10.3.0.26", cuda)  # another process
    build_engine(model, engine, BuildSettings(plugin="on", hardware_compatible=True))
    (wide,) = set(folder.glob(f"*/{LIBRARY}")) - {alone}
    assert not read_marker(alone).runs_on("8.0")
    assert all(read_marker(wide).runs_on(gpu) for gpu in ("8.0", "8.6", "8.9", "9.0", "12.0"))
    named = library_for("10.3.0.26", tmp_path, architectures="90-real")
    with_version(monkeypatch, "10.3.0.26", cuda)
    with pytest.raises(EngineError, match=r"has code for 90-real; expected some for 8.0, 8.6, 8.9,"):
        build_engine(
            model, engine, BuildSettings(plugin="on", plugin_library=named, hardware_compatible=True)
        )


def test_a_library_without_code_for_the_gpu_is_refused_before_the_engine_runs(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.15.1.29", cuda)
    library, engine = library_for("10.15.1.29", tmp_path, architectures="80-real"), tmp_path / "x.engine"
    build_engine(model, engine, BuildSettings(plugin_library=library))
    record = read_record(engine)
    sidecar_of(engine).write_text(replace(record, hardware_compatible=True).to_json())
    cuda.properties.major, cuda.properties.minor = 9, 0
    with_version(monkeypatch, "10.15.1.29", cuda)
    with pytest.raises(EngineError, match=r"has code for 80-real; expected some for 9.0, which is to run it"):
        TrtFullGraph(engine)
    assert cuda.streams == {}
