"""stn-deploy plugin build and info, as a user runs them; the compiler only writes down what it is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner, Result

from stn_deploy.cli.app import app
from stn_deploy.errors import ArgumentError, ArtifactError, EngineError, OutputError
from stn_deploy.plugins import status
from stn_deploy.plugins.ahead_of_time.ptx import PTX
from stn_deploy.plugins.library import compiler as compilers
from stn_deploy.plugins.library import find as finding
from stn_deploy.plugins.library import headers as headings
from stn_deploy.plugins.library import read_marker
from stn_deploy.plugins.library.recipe import AUTOLOAD, LIBRARY
from tests.fake_engine_library import FakeTensorRT, install_library, plugin_file
from tests.fake_nvcc import calls_of, write_headers, write_nvcc


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that has a compiler and the headers of TensorRT 10.3, and no TensorRT."""
    monkeypatch.setattr(headings, "SYSTEM", (str(write_headers(tmp_path / "usr" / "include", "10.3.0")),))
    monkeypatch.setattr(compilers, "USUAL", (str(write_nvcc(tmp_path / "cuda")),))
    monkeypatch.setattr(compilers, "_of_wheels", list)
    monkeypatch.setattr(finding, "PREBUILT", tmp_path / "prebuilt")
    for name in ("CUDA_HOME", "CUDA_PATH", "TENSORRT_ROOT", "STN_DEPLOY_PLUGIN_LIBRARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "tensorrt", None)


def plugin(*words: str) -> Result:
    return CliRunner().invoke(app, ["plugin", *words])


def values_of(*words: str) -> dict[str, Any]:
    done = plugin(*words, "--json")
    assert done.exit_code == 0, done.output
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def test_build_compiles_once_and_says_where_the_library_is_and_what_it_is_for(tmp_path: Path) -> None:
    nvcc = tmp_path / "cuda" / "bin" / "nvcc"
    values = values_of("build")
    assert Path(values["library"]).is_relative_to(tmp_path / "cache" / "stn-deploy" / "plugins")
    assert (values["tensorrt"], values["cuda"], values["sources"]) == ("10.3.0", "13.0", "as installed")
    assert values["architectures"] == ["75-real", "80-real", "86-real", "90-real", "120-real", "120-virtual"]
    calls = len(calls_of(nvcc))
    said = plugin("build").stdout
    assert said.startswith(f"{values['library']}: for TensorRT 10 on 75-real, 80-real, ")
    assert len(calls_of(nvcc)) == calls


def test_build_takes_headers_architectures_and_a_folder(tmp_path: Path) -> None:
    write_headers(tmp_path / "trt" / "include", "11.1.0")
    folder = tmp_path / "deep" / "here"
    words = ["build", "--tensorrt", str(tmp_path / "trt"), "--architectures", "8.6, 75", "-o", str(folder)]
    for _ in range(2):  # a second time writes over the first
        values = values_of(*words)
        assert values["library"] == str(folder / LIBRARY)
        assert {path.name for path in folder.iterdir()} == {LIBRARY, AUTOLOAD}
    info = read_marker(folder / LIBRARY)
    assert (info.tensorrt, info.architectures) == ("11.1.0", ("75-real", "86-real", "86-virtual"))


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (
            ["--architectures", "75,sm86"],
            ArgumentError,
            "--architectures: expected numbers with commas, such as 75,86",
        ),
        (
            ["--architectures", "70"],
            ArgumentError,
            "expected some of 75, 80, 86, 90, 120, which nvcc 13.0.88",
        ),
        (
            ["--tensorrt", "nowhere"],
            EngineError,
            "NvInfer.h: expected the headers of TensorRT 10.0 or newer in nowhere",
        ),
        (["-o", "libx.so"], OutputError, "--output: expected a folder, for two files go there, got libx.so"),
    ],
)
def test_build_refuses_what_it_cannot_do(words: list[str], error: type[Exception], message: str) -> None:
    done = plugin("build", *words)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = plugin("build", "-o", str(tmp_path / "file" / "below"))
    assert isinstance(done.exception, OutputError)
    assert f"{tmp_path / 'file' / 'below'}: cannot be written" in str(done.exception)
    assert calls_of(tmp_path / "cuda" / "bin" / "nvcc") == []  # told before anything is compiled


def test_info_says_what_ships_and_that_tensorrt_is_missing() -> None:
    values = values_of("info")
    kernels = values["kernels"]
    assert kernels["nodes"] == ["stn_deploy::ThetaGridSample", "stn_deploy::GivenGridSample"]
    assert kernels["elements"] == ["f32", "f16", "bf16"]
    assert (kernels["target"], kernels["version"]) == ("sm_75", "6.3")
    assert kernels["text"] == "as shipped"
    texts = "".join(path.read_text() for path in PTX.glob("*.ptx"))
    assert kernels["kernels"] == texts.count(".entry ") > 0
    assert values["tensorrt"]["version"] is None
    assert "stn-deploy[tensorrt]" in values["tensorrt"]["plugin"]
    assert values["library"] == {
        "library": None,
        "missing": "TensorRT is not installed, so none is looked for",
    }
    said = "".join(plugin("info").stdout.split())
    assert "'stn-deploy[tensorrt]'" in "".join(said.split("│"))


@pytest.mark.parametrize(
    ("version", "way"),
    [("10.3.0.26", "as a library"), ("10.9.0.34", "ahead of time"), ("11.4.0.106", "ahead of time")],
)
def test_info_says_which_way_the_installed_tensorrt_takes_and_looks_for_its_library(
    version: str, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_library(monkeypatch, FakeTensorRT(version))
    values = values_of("info")
    assert values["tensorrt"] == {"version": version, "plugin": way}
    missing = values["library"]["missing"]
    assert missing.startswith(
        f"plugin library: expected one for TensorRT {version}, found none (prebuilt: none in "
    )
    assert missing.endswith("build it: stn-deploy plugin build")
    assert calls_of(tmp_path / "cuda" / "bin" / "nvcc") == []  # none is built for that
    if version.startswith("10.3"):
        built = values_of("build", "--architectures", "86")
        assert values_of("info")["library"] == built


def test_info_of_a_library_says_what_it_is_and_whether_it_fits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "libx.so"
    library.write_bytes(plugin_file("10.9.0", architectures="86"))
    expected = {
        "library": str(library),
        "tensorrt": "10.9.0",
        "cuda": "13.0",
        "architectures": ["86"],
        "sources": "others",
    }
    assert values_of("info", str(library))["library"] == expected
    install_library(monkeypatch, FakeTensorRT("11.4.0.106"))
    done = plugin("info", str(library))
    assert "for TensorRT 10.9.0 on 86" in done.stdout
    assert isinstance(done.exception, EngineError)
    assert "was built for TensorRT 10.9.0; expected one for TensorRT 11.4.0.106" in str(done.exception)
    library.write_bytes(b"something else")
    assert "got another file" in str(plugin("info", str(library)).exception)


def test_info_without_tensorrt_shows_the_library_that_the_user_has_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "libx.so"
    library.write_bytes(plugin_file("10.9.0").replace(b'"ab"', b'""'))
    monkeypatch.setenv("STN_DEPLOY_PLUGIN_LIBRARY", str(library))
    found = values_of("info")["library"]
    assert (found["library"], found["tensorrt"], found["sources"]) == (str(library), "10.9.0", "not said")
    monkeypatch.setenv("STN_DEPLOY_PLUGIN_LIBRARY", "none.so")
    assert "none.so cannot be read" in str(plugin("info").exception)


def test_a_folder_with_brackets_in_its_name_is_named_whole(tmp_path: Path) -> None:
    folder = tmp_path / "my [b]folder"
    assert plugin("build", "-o", str(folder)).stdout.startswith(f"{folder / LIBRARY}: for TensorRT 10")


def test_info_tells_texts_and_sources_that_were_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "kernels" / "ptx"
    folder.mkdir(parents=True)
    for path in [*PTX.iterdir(), *status.KERNELS.glob("*.cu"), *status.KERNELS.glob("*.*h")]:
        (folder if path.parent == PTX else folder.parent).joinpath(path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(status, "PTX", folder)
    monkeypatch.setattr(status, "KERNELS", folder.parent)
    changed = folder / "grid_sample_2d_linear.ptx"
    changed.write_text(changed.read_text() + "\n")
    (folder.parent / "launch.h").write_text("// another\n")
    found = status.kernels_status()
    assert found["text"] == "not as shipped: grid_sample_2d_linear.ptx"
    assert found["sources"].startswith("not as compiled: ")
    assert "launch.h" in found["sources"]
    changed.unlink()
    with pytest.raises(EngineError, match=r"the kernels are incomplete.*install stn-deploy again"):
        status.kernels_status()


def write_model(path: Path, *modes: str) -> Path:
    """One GridSample on volumes for each mode."""
    inputs = [
        onnx.helper.make_tensor_value_info("source", 1, ["n", "c", "d", "h", "w"]),
        onnx.helper.make_tensor_value_info("grid", 1, ["n", "D", "H", "W", 3]),
    ]
    names = [f"Y{index}" for index in range(len(modes))]
    nodes = [
        onnx.helper.make_node("GridSample", ["source", "grid"], [name], mode=mode)
        for name, mode in zip(names, modes, strict=True)
    ]
    outputs = [onnx.helper.make_tensor_value_info(name, 1, [None] * 5) for name in names]
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9), path
    )
    return path


def test_replace_gives_the_nodes_of_any_model_to_the_plugin(tmp_path: Path) -> None:
    model, to = write_model(tmp_path / "volumes.onnx", "linear"), tmp_path / "deep" / "out.onnx"
    done = plugin("replace", str(model), "-o", str(to))
    assert (done.exit_code, done.stdout) == (0, f"wrote {to}\n")
    written = onnx.load(to)
    assert [node.op_type for node in written.graph.node] == ["GivenGridSample"]
    assert [function.name for function in written.functions] == ["GivenGridSample"]
    several = write_model(tmp_path / "several.onnx", "linear", "nearest")
    done = plugin(
        "replace", str(several), "-o", str(to), "--nearest", "--function", "strip", "--dimensions", "2,3"
    )
    assert done.exit_code == 0
    assert not onnx.load(to).functions


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["volumes.onnx", "-o", "out.engine"], OutputError, "expected a name that ends in .onnx"),
        (["volumes.onnx", "-o", "volumes.onnx"], OutputError, "would write over"),
        (
            ["volumes.onnx", "-o", "out.onnx", "--dimensions", "4"],
            ArgumentError,
            "expected 2, 3 or 2,3, got '4'",
        ),
        (
            ["volumes.onnx", "-o", "out.onnx", "--function", "x"],
            ArgumentError,
            "expected keep or strip, got 'x'",
        ),
        (
            ["volumes.onnx", "-o", "out.onnx", "--dimensions", "2"],
            ArtifactError,
            "found them on volumes alone; dimensions=(3,), --dimensions 3, replaces these",
        ),
        (["nearest.onnx", "-o", "out.onnx"], ArtifactError, "half way between two pixels"),
        (
            ["text.onnx", "-o", "out.onnx"],
            ArtifactError,
            "text.onnx: expected an .onnx file, cannot be read as one",
        ),
        (["none.onnx", "-o", "out.onnx"], ArtifactError, "none.onnx: expected an .onnx file"),
        (["empty.onnx", "-o", "out.onnx"], ArtifactError, "empty.onnx: expected an .onnx file with nodes"),
        (["ours.onnx", "-o", "out.onnx"], ArtifactError, "which the plugin takes as it is"),
    ],
)
def test_replace_refuses_what_it_cannot_do(
    words: list[str],
    error: type[Exception],
    message: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(Path("volumes.onnx"), "linear")
    write_model(Path("nearest.onnx"), "nearest")
    Path("text.onnx").write_text("not a model")
    Path("empty.onnx").write_bytes(b"")
    Path("ours.onnx").write_bytes(model.read_bytes())
    done = plugin("replace", *words)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
    assert not Path("out.onnx").exists()
