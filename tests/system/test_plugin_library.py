"""The plugin library in real TensorRT: what it exports, who loads it, who does not, what the user is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stn_deploy.plugins.library import read_marker
from stn_deploy.plugins.library.marker import START
from stn_deploy.runtime import DEFAULT_MODEL
from tests.engines.install import folder_of
from tests.plugin_build import ARCHITECTURE, configured, library_for
from tests.plugin_library import (
    HARNESS,
    LIBRARY,
    NO_HEADERS,
    built,
    each_version,
    headers,
    version_of,
)

SCRIPT = Path(__file__).resolve().parents[1] / "engines" / "load_plugin.py"
RUNTIMES = {"10.15": "tensorrt-lean-10.15", "11.4": "tensorrt-lean-11.4"}
RTX = "tensorrt-rtx-1.7"
AUTOLOAD = "libstn_deploy_plugin_autoload.so"
FIELDS = ["interpolation", "padding", "align_corners", "homogeneous", "output_size"]
SYSTEM = {"libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0"}

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


def library_of(major: int) -> Path:
    """For a major version, of the oldest headers of it that are here."""
    fitting = [folder for folder in headers() if version_of(folder)[0] == major]
    if not fitting:
        pytest.skip(f"{NO_HEADERS}; for TensorRT {major}")
    return library_for(fitting[0])


def loaded(name: str, module: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    folder = folder_of(name)
    if folder is None:
        pytest.skip(f"needs {name}: make engines installs it where it has a wheel")
    return subprocess.run(
        [sys.executable, str(SCRIPT), module, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def in_runtime(runtime: str, library: Path, how: str) -> tuple[dict[str, Any], str]:
    """What came of it, and what was said to standard error."""
    done = loaded(RUNTIMES[runtime], "tensorrt_lean_bindings", library, how)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["version"].startswith(runtime)
    return result, done.stderr


def read(*command: object) -> str:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout


@each_version()
def test_the_library_exports_two_functions_and_needs_nothing_but_the_system(include: Path) -> None:
    library = library_for(include)
    assert sorted(line.split()[-1] for line in read("nm", "-D", "--defined-only", library).splitlines()) == [
        "getCreators",
        "setLoggerFinder",
    ]
    assert not read("nm", "-D", "--defined-only", library.with_name(AUTOLOAD)).strip()
    for path in (library, library.with_name(AUTOLOAD)):
        needed = set(re.findall(r"NEEDED.*\[(.+)\]", read("readelf", "-d", path)))
        assert {name for name in needed if not name.startswith("ld-linux")} <= SYSTEM
        undefined = read("nm", "-D", "--undefined-only", path)
        assert not re.search("nvinfer|PluginRegistry|getLogger|cuda", undefined)


@each_version()
def test_the_file_says_what_it_was_built_with(include: Path) -> None:
    library = library_for(include)
    for path in (library, built(include)[1]):  # optimised, and not
        assert path.read_bytes().count(START) == 1
    info = read_marker(library)
    assert info.tensorrt == ".".join(map(str, version_of(include)))
    assert re.fullmatch(r"1\d\.\d", info.cuda)
    assert (info.architectures, info.sources) == ((ARCHITECTURE,), "0123abcd")


@each_runtime
def test_tensorrt_registers_both_creators_and_creates_plugins(runtime: str) -> None:
    result, _ = in_runtime(runtime, library_of(int(runtime.split(".")[0])), "registry")
    assert result["loaded"]
    assert result["creators"] == {"ThetaGridSample": FIELDS, "GivenGridSample": FIELDS[:3]}
    assert result["created"]["good"] == [True, []]


@each_runtime
def test_what_a_creator_refuses_reaches_the_error_recorder_of_the_application(runtime: str) -> None:
    result, said = in_runtime(runtime, library_of(int(runtime.split(".")[0])), "registry")
    expected = {
        "no size": "ThetaGridSample: output_size: expected height and width, .* got no such field",
        "bad padding": "ThetaGridSample: padding: expected 0 .border., .* got 7",
        "cubic volume": "ThetaGridSample: interpolation: .* for a volume, got 2 .cubic.",
        "misspelt": "ThetaGridSample: fields: expected interpolation, .* got intrepolation",
    }
    for case, message in expected.items():
        created, messages = result["created"][case]
        assert not created
        assert len(messages) == 1
        assert re.match(message, messages[0]), messages
    assert "ThetaGridSample" not in said


@each_runtime
def test_a_library_for_another_major_version_is_refused_with_the_reason(runtime: str) -> None:
    major = int(runtime.split(".")[0])
    other = {10: 11, 11: 10}[major]
    result, said = in_runtime(runtime, library_of(other), "registry")
    assert not result["loaded"]
    assert result["creators"] == {}
    assert re.search(
        f"expected TensorRT {other}, for which it was built, got version {re.escape(runtime)}", said
    )
    assert "stn-deploy plugin build" in said
    assert "No creator returned" in result["messages"][0]


@each_runtime
def test_programs_that_only_dlopen_get_both_creators_as_well(runtime: str) -> None:
    library = library_of(int(runtime.split(".")[0])).with_name(AUTOLOAD)
    result, said = in_runtime(runtime, library, "dlopen")
    assert list(result["creators"]) == ["ThetaGridSample", "GivenGridSample"]
    assert result["created"]["good"] == [True, []]
    assert "autoload" not in said


@each_runtime
def test_autoload_says_so_where_there_is_another_major_version(runtime: str) -> None:
    other = {10: 11, 11: 10}[int(runtime.split(".")[0])]
    result, said = in_runtime(runtime, library_of(other).with_name(AUTOLOAD), "dlopen")
    assert result["creators"] == {}
    assert f"autoload: expected TensorRT {other} in this process, found none" in said


def test_autoload_says_where_its_library_should_be(tmp_path: Path) -> None:
    alone = tmp_path / AUTOLOAD
    alone.write_bytes(library_of(10).with_name(AUTOLOAD).read_bytes())
    result, said = in_runtime("10.15", alone, "dlopen")
    assert result["creators"] == {}
    assert f"TensorRT does not load {tmp_path}/libstn_deploy_plugin.so" in said


def test_preloaded_into_a_program_that_is_linked_with_tensorrt_autoload_registers_them(
    tmp_path: Path,
) -> None:
    library, runtime = library_of(10), folder_of(RUNTIMES["10.15"])
    if runtime is None:
        pytest.skip("needs TensorRT's lean runtime 10.15: make engines installs it where it has a wheel")
    folder, program = runtime / "tensorrt_lean_libs", tmp_path / "linked"
    include = next(path for path in headers() if version_of(path)[0] == 10)
    command = ["g++", "-w", "-std=c++17", f"-I{HARNESS / 'cuda'}", f"-I{include}", HARNESS / "linked.cpp"]
    linked = [folder / "libnvinfer_lean.so.10", f"-Wl,-rpath,{folder}", "-o", program]
    subprocess.run([*map(str, command), *map(str, linked)], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library.with_name(AUTOLOAD))}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=True)
    assert {"ThetaGridSample", "GivenGridSample"} <= set(done.stdout.split())


def test_preloaded_into_programs_without_tensorrt_autoload_is_silent() -> None:
    library = library_of(10).with_name(AUTOLOAD)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run(["true"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_tensorrt_rtx_is_told_that_it_takes_no_plugin_and_runs_the_function_instead() -> None:
    done = loaded(RTX, "tensorrt_rtx_bindings", library_of(10), "registry", DEFAULT_MODEL)
    assert done.returncode == 0, done.stderr
    assert "got version 1.7" in done.stderr
    assert "TensorRT-RTX take no such plugins" in done.stderr
    assert "Importing as a local function" in done.stdout + done.stderr
    assert "parsed: True" in done.stdout


def test_nvidia_s_parser_finds_our_creator_for_the_node_of_the_shipped_model(tmp_path: Path) -> None:
    # TensorRT-RTX has the parser of TensorRT, and no plugins: it creates ours, and then ends the process.
    stand_in = tmp_path / "stand_in.so"
    source = HARNESS / "stand_in.cpp"
    library = library_of(10)
    subprocess.run(["g++", "-shared", "-fPIC", str(source), "-o", str(stand_in), "-ldl"], check=True)
    done = loaded(RTX, "tensorrt_rtx_bindings", stand_in, "registry", DEFAULT_MODEL, STN_PLUGIN=str(library))
    said = done.stdout + done.stderr
    assert "Found registered plugin: ThetaGridSample. Importing this node as a plugin" in said
    assert "Successfully created plugin: ThetaGridSample" in said
    assert done.returncode == -6


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (None, "expected the headers of TensorRT 10 or newer, found none"),
        ("#define NV_TENSORRT_MAJOR 8 //!< major", "expected TensorRT 10 or newer; 8 and 9 know no"),
        ("#define TRT_MAJOR_RTX 1\n#define NV_TENSORRT_MAJOR TRT_MAJOR_RTX", "TensorRT-RTX knows none"),
    ],
    ids=["none", "TensorRT 8", "TensorRT-RTX"],
)
def test_cmake_refuses_headers_that_will_not_do(version: str | None, message: str, tmp_path: Path) -> None:
    system, root = tmp_path / "system", tmp_path / "root"  # what is found elsewhere is not what was named
    headers = {system: "#define NV_TENSORRT_MAJOR 10", root: version}
    for folder, text in headers.items():
        (folder / "include").mkdir(parents=True)
        if text is not None:
            (folder / "include" / "NvInfer.h").touch()
            (folder / "include" / "NvInferVersion.h").write_text(f"{text}\n")
    places = [f"-DTENSORRT_ROOT={root}", f"-DCMAKE_PREFIX_PATH={system}"]
    done = configured(tmp_path / "build", *places, "-DCMAKE_CUDA_ARCHITECTURES=75")
    assert done.returncode != 0
    assert message in re.sub(r"\s+", " ", done.stderr)


def test_cmake_compiles_every_source() -> None:
    listed = set(re.findall(r"\b(\w+\.cpp)\b", (LIBRARY / "CMakeLists.txt").read_text()))
    assert listed == {path.name for path in LIBRARY.glob("*.cpp")}
