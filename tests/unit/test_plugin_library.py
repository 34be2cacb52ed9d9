"""Finding the plugin's library, or building it once: by a compiler that only writes down what it is told."""

from __future__ import annotations

import errno
import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from stn_deploy.errors import ArgumentError, EngineError, OutputError
from stn_deploy.plugins.library import (
    Compiler,
    LibraryInfo,
    Recipe,
    build_library,
    cache_folder,
    cached_build,
    cached_files,
    expect_for,
    find_compiler,
    find_headers,
    find_library,
    read_marker,
)
from stn_deploy.plugins.library import compiler as compilers
from stn_deploy.plugins.library import find as finding
from stn_deploy.plugins.library import headers as headings
from stn_deploy.plugins.library.recipe import AUTOLOAD, LIBRARY, sources, sources_digest
from tests.fake_nvcc import calls_of, write_headers, write_nvcc

VERSION = "10.9.0.34"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A machine without TensorRT's headers and without nvcc; its environment."""
    monkeypatch.setattr(headings, "SYSTEM", ())
    monkeypatch.setattr(compilers, "USUAL", ())
    monkeypatch.setattr(compilers, "_of_wheels", list)
    monkeypatch.setattr(finding, "PREBUILT", tmp_path / "prebuilt")
    return {"PATH": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def able(bare: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A machine that has both; its environment."""
    write_nvcc(tmp_path / "cuda")
    write_headers(tmp_path / "trt" / "include")
    return {**bare, "CUDA_HOME": str(tmp_path / "cuda"), "TENSORRT_ROOT": str(tmp_path / "trt")}


def recipe_of(environment: dict[str, str], *architectures: int) -> Recipe:
    compiler = find_compiler(environment)
    headers = find_headers(environment=environment)
    return Recipe(headers=headers, compiler=compiler, architectures=compiler.chosen(architectures))


def write_library(path: Path, **changes: Any) -> Path:
    """A file that says what a library says."""
    values = {
        "format": 1,
        "tensorrt": "10.9.0",
        "cuda": "13.0",
        "architectures": "86-real,86-virtual",
        "sources": sources_digest(),
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF\0\1" + f"stn_deploy plugin {json.dumps(values)}\0and more".encode())
    return path


# --- What a library says of itself


def test_a_library_says_what_it_is_without_being_loaded(tmp_path: Path) -> None:
    info = read_marker(write_library(tmp_path / "x.so"))
    assert (info.tensorrt, info.cuda, info.major) == ("10.9.0", "13.0", 10)
    assert info.architectures == ("86-real", "86-virtual")
    assert info.sources == sources_digest()


@pytest.mark.parametrize(
    ("architectures", "runs", "not_on"),
    [
        ("86-real", ["8.6", "8.7", "8.9"], ["7.5", "8.0", "9.0", "12.0"]),
        ("80-virtual", ["8.0", "8.6", "9.0", "12.1"], ["7.5"]),
        ("75-real;90-real;90-virtual", ["7.5", "9.0", "12.0"], ["8.0", "8.9"]),
        ("120", ["12.0", "12.1"], ["9.0", "11.0"]),
        ("90a", ["9.0"], ["8.9", "10.0"]),
        ("100a-real;100a-virtual", ["10.0"], ["10.3", "12.0"]),
        ("100f-real", ["10.0", "10.3"], ["9.0", "12.0"]),
        ("", [], ["8.6"]),
    ],
)
def test_code_runs_on_its_own_generation_and_text_on_newer_ones(
    architectures: str, runs: list[str], not_on: list[str], tmp_path: Path
) -> None:
    info = read_marker(write_library(tmp_path / "x.so", architectures=architectures))
    assert [each for each in [*runs, *not_on] if info.runs_on(each)] == runs


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got another file"),
        (b"\x7fELF something else", "got another file"),
        (b"stn_deploy plugin {\0", "damaged"),
        (b'stn_deploy plugin {"format": 1}\0', "damaged"),
        (b'stn_deploy plugin {"format": 2}\0', "pip install --upgrade stn-deploy"),
        (b"stn_deploy plugin {" + b"x" * 9000, "damaged"),
    ],
)
def test_other_files_and_damaged_ones_are_told_what_they_are(
    data: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(data)
    with pytest.raises(EngineError, match=message):
        read_marker(path)


def test_the_library_that_loads_the_other_one_is_told_from_it(tmp_path: Path) -> None:
    (tmp_path / AUTOLOAD).write_bytes(b"\x7fELF something else")
    with pytest.raises(EngineError, match=f"has TensorRT load {LIBRARY}, which lies beside it"):
        read_marker(tmp_path / AUTOLOAD)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="none.so cannot be read"):
        read_marker(tmp_path / "none.so")


def test_a_library_of_another_major_version_or_for_other_gpus_is_refused(tmp_path: Path) -> None:
    info = read_marker(write_library(tmp_path / "x.so"))
    expect_for(info, "10.16.0", "8.6")
    with pytest.raises(EngineError, match=r"was built for TensorRT 10.9.0; expected one for TensorRT 11.4.0"):
        expect_for(info, "11.4.0")
    with pytest.raises(EngineError, match=r"has code for 86-real.*expected some for 7.5.*--architectures 75"):
        expect_for(info, "10.9.0", "7.5")


# --- Headers and compiler


@pytest.mark.parametrize("indirect", [False, True])
@pytest.mark.parametrize("place", [".", "include", f"include/{os.uname().machine}-linux-gnu"])
def test_headers_are_found_below_the_root_in_every_layout(place: str, indirect: bool, tmp_path: Path) -> None:
    folder = write_headers(tmp_path / place, "10.15.1", indirect=indirect)
    found = find_headers(tmp_path)
    assert (found.include.resolve(), found.version, found.major) == (folder.resolve(), "10.15.1", 10)
    assert find_headers(environment={"TENSORRT_ROOT": str(tmp_path)}) == found


@pytest.mark.parametrize(
    ("version", "major", "message"),
    [
        (
            "8.6.1",
            None,
            "expected the headers of TensorRT 10.0 or newer in .*, found only 8.6.1.*older than 10.0",
        ),
        ("10.9.0", 11, "expected the headers of TensorRT 11 in .*, found only 10.9.0"),
    ],
)
def test_headers_of_another_version_are_passed_over_and_named(
    version: str, major: int | None, message: str, tmp_path: Path
) -> None:
    write_headers(tmp_path, version)
    with pytest.raises(EngineError, match=message):
        find_headers(tmp_path, major=major)


def test_where_there_are_no_headers_the_user_is_told_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"NvInfer.h: .*found none.*not with pip.*TENSORRT_ROOT"):
        find_headers(environment={})


def test_the_compiler_of_cuda_home_comes_before_that_of_the_path(tmp_path: Path) -> None:
    first, second = write_nvcc(tmp_path / "a", "12.4.131"), write_nvcc(tmp_path / "b")
    environment = {"CUDA_HOME": str(tmp_path / "a"), "PATH": str(second.parent)}
    assert find_compiler(environment) == Compiler(first, "12.4.131", (75, 80, 86, 90, 120))
    assert find_compiler({"PATH": str(second.parent)}).nvcc == second


def test_the_compiler_of_a_wheel_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nvcc = write_nvcc(tmp_path / "nvidia" / "cu13")
    monkeypatch.undo()
    monkeypatch.setattr(compilers, "USUAL", ())
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("nvidia", None)
    assert find_compiler({"PATH": ""}).nvcc == nvcc


def test_compilers_that_are_too_old_or_do_not_run_are_passed_over_and_named(tmp_path: Path) -> None:
    write_nvcc(tmp_path / "old", "11.8.89")
    broken = tmp_path / "broken" / "nvcc"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no libraries; exit 1\n")
    broken.chmod(0o755)
    environment = {"CUDA_HOME": str(tmp_path / "old"), "PATH": str(broken.parent)}
    with pytest.raises(
        EngineError, match=r"nvcc: expected .* 12.0 or newer.*11.8.89.*nvcc fails: no libraries"
    ):
        find_compiler(environment)


def test_architectures_are_all_that_the_compiler_knows_or_those_that_are_asked_for(
    able: dict[str, str],
) -> None:
    compiler = find_compiler(able)
    assert compiler.chosen() == ("75-real", "80-real", "86-real", "90-real", "120-real", "120-virtual")
    assert compiler.chosen((86, 75)) == ("75-real", "86-real", "86-virtual")
    with pytest.raises(
        ArgumentError, match="expected some of 75, 80, 86, 90, 120, which nvcc 13.0.88 .* got 70, 99"
    ):
        compiler.chosen((70, 86, 99))


# --- Building


def test_a_build_makes_both_libraries_for_the_architectures_and_says_how_far_it_is(
    able: dict[str, str], tmp_path: Path
) -> None:
    steps: list[tuple[int, int, str]] = []
    path = build_library(recipe_of(able, 86), tmp_path / "out", lambda *step: steps.append(step))
    info = read_marker(path)
    assert (info.tensorrt, info.cuda, info.architectures) == ("10.9.0", "13.0", ("86-real", "86-virtual"))
    assert info.sources == sources_digest()
    assert {each.name for each in path.parent.iterdir()} == {LIBRARY, AUTOLOAD}
    done, counts, _ = zip(*steps, strict=True)
    compiled = [each for each in sources() if each.suffix == ".cpp"]
    assert list(done) == sorted(done)
    assert set(counts) == {len(compiled) + 1 + 2}
    assert done[-1] == counts[-1]
    kernels = [call for call in calls_of(tmp_path / "cuda" / "bin" / "nvcc") if "launch.cu" in call]
    assert len(kernels) == 1
    assert "-gencode arch=compute_86,code=sm_86 -gencode arch=compute_86,code=compute_86" in kernels[0]


def test_where_the_static_cpp_runtime_is_missing_that_of_the_system_is_taken(
    able: dict[str, str], tmp_path: Path
) -> None:
    nvcc = tmp_path / "cuda" / "bin" / "nvcc"
    build_library(recipe_of(able), tmp_path / "static")
    assert all("-static-libstdc++" in call for call in calls_of(nvcc) if "-shared" in call)
    nvcc.with_name("no_static").write_text("")
    read_marker(build_library(recipe_of(able), tmp_path / "shared"))
    assert sum("-static-libstdc++" not in call for call in calls_of(nvcc) if "-shared" in call) == 2


def test_a_build_that_fails_tells_the_compilers_last_words_and_leaves_nothing(
    able: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "cuda" / "bin" / "fails").write_text("caller.cpp(12): error: expected a semicolon")
    with pytest.raises(EngineError, match=r"does not compile \(exit status 2\):\n.*expected a semicolon"):
        build_library(recipe_of(able), tmp_path / "place" / "out")
    assert list((tmp_path / "place").iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(able: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        build_library(recipe_of(able), tmp_path / "file" / "out")
    with pytest.raises(OutputError, match="cannot be written .*XDG_CACHE_HOME names another place"):
        cached_build(recipe_of(able), tmp_path / "file")


_BUILD = """
import sys
from pathlib import Path
from stn_deploy.plugins.library import Recipe, cached_build, find_compiler, find_headers
compiler = find_compiler()
recipe = Recipe(headers=find_headers(), compiler=compiler, architectures=compiler.chosen())
print(cached_build(recipe, Path(sys.argv[1])))
"""


def _until(true: Any) -> None:
    while not true():
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("sent", "message", "status"),
    [(signal.SIGINT, b"KeyboardInterrupt", -signal.SIGINT), (signal.SIGTERM, b"", 128 + signal.SIGTERM)],
)
def test_one_who_is_stopped_stops_the_compiler_and_leaves_nothing(
    sent: signal.Signals, message: bytes, status: int, able: dict[str, str], tmp_path: Path
) -> None:
    nvcc = tmp_path / "cuda" / "bin" / "nvcc"
    nvcc.with_name("waits").write_text("")
    cache = tmp_path / "cache"
    reset = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", reset + _BUILD, str(cache)], env={**os.environ, **able}, stderr=subprocess.PIPE
    )
    _until(lambda: calls_of(nvcc))
    process.send_signal(sent)
    _, said = process.communicate()
    assert message in said
    assert process.returncode == status
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == []
    for call in calls_of(nvcc):
        with pytest.raises(ProcessLookupError):
            os.kill(int(call.split()[0]), 0)


def test_what_a_killed_process_left_is_cleared_and_the_compilers_files_lie_within(
    able: dict[str, str], tmp_path: Path
) -> None:
    nvcc, cache, recipe = tmp_path / "cuda" / "bin" / "nvcc", tmp_path / "cache", recipe_of(able)
    left = cache / f".{recipe.key}.left"
    left.mkdir(parents=True)
    (left / "launch.o").write_text("")
    cached_build(recipe, cache)
    assert {path.name for path in cache.iterdir()} == {recipe.key, f"{recipe.key}.lock"}
    folders = {Path(line) for line in nvcc.with_name("temporary").read_text().splitlines()}
    assert all(folder.parent.parent == cache and not folder.exists() for folder in folders)


@pytest.mark.parametrize("name", [LIBRARY, AUTOLOAD])
def test_a_library_that_was_damaged_in_the_cache_is_built_again(
    name: str, able: dict[str, str], tmp_path: Path
) -> None:
    built = cached_build(recipe_of(able), tmp_path / "cache")
    built.with_name(name).unlink()
    if name == LIBRARY:
        built.write_bytes(b"cut short")
    assert cached_build(recipe_of(able), tmp_path / "cache") == built
    assert read_marker(built).tensorrt == "10.9.0"
    assert built.with_name(AUTOLOAD).is_file()


def test_two_processes_at_once_build_once(able: dict[str, str], tmp_path: Path) -> None:
    nvcc = tmp_path / "cuda" / "bin" / "nvcc"
    nvcc.with_name("waits").write_text("")
    command = [sys.executable, "-c", _BUILD, str(tmp_path / "cache")]
    both = [
        subprocess.Popen(command, env={**os.environ, **able}, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    _until(lambda: calls_of(nvcc))
    nvcc.with_name("waits").unlink()
    first, second = (process.communicate()[0] for process in both)
    assert first == second
    assert read_marker(Path(first.strip())).tensorrt == "10.9.0"
    assert len([call for call in calls_of(nvcc) if "launch.cu" in call]) == 1


def test_one_who_waits_for_another_process_is_told_so(able: dict[str, str], tmp_path: Path) -> None:
    nvcc, cache = tmp_path / "cuda" / "bin" / "nvcc", tmp_path / "cache"
    nvcc.with_name("waits").write_text("")
    recipe = recipe_of(able)
    first = threading.Thread(target=cached_build, args=(recipe, cache))
    first.start()
    _until(lambda: calls_of(nvcc))
    told = threading.Event()
    seen: list[str] = []

    def progress(done: int, steps: int, what: str) -> None:
        seen.append(what)
        told.set()

    second = threading.Thread(target=cached_build, args=(recipe, cache, progress))
    second.start()
    told.wait()
    nvcc.with_name("waits").unlink()
    first.join()
    second.join()
    assert seen == ["waiting for another process that builds it"]


def test_what_decides_the_library_decides_its_place(able: dict[str, str], tmp_path: Path) -> None:
    recipe = recipe_of(able)
    write_headers(tmp_path / "other", "10.3.0")
    other = write_nvcc(tmp_path / "newer", "13.1.2")
    keys = {
        recipe.key,
        recipe_of(able, 86).key,
        recipe_of({**able, "TENSORRT_ROOT": str(tmp_path / "other")}).key,
        recipe_of({**able, "CUDA_HOME": str(other.parents[1])}).key,
    }
    assert len(keys) == 4
    assert recipe_of(able).key == recipe.key


# --- Finding


def found_for(environment: dict[str, str], **settings: Any) -> LibraryInfo:
    return find_library(VERSION, environment=environment, **settings)


def test_the_one_that_is_named_comes_first_and_must_fit(bare: dict[str, str], tmp_path: Path) -> None:
    named = write_library(tmp_path / "named.so")
    other = write_library(tmp_path / "other.so")
    assert found_for(bare, named=named).path == named
    assert found_for({**bare, "STN_DEPLOY_PLUGIN_LIBRARY": str(other)}).path == other
    assert found_for({**bare, "STN_DEPLOY_PLUGIN_LIBRARY": str(other)}, named=named).path == named
    with pytest.raises(EngineError, match="expected one for TensorRT 11.1.0"):
        find_library("11.1.0", named=named, environment=bare)
    write_library(named, architectures="86-real")
    with pytest.raises(EngineError, match="expected some for 12.0"):
        found_for(bare, named=named, compute_capability="12.0")


def test_a_prebuilt_one_comes_before_one_that_was_built_here_and_that_before_a_build(
    able: dict[str, str], tmp_path: Path
) -> None:
    nvcc = tmp_path / "cuda" / "bin" / "nvcc"
    built = found_for(able, compute_capability="8.6")
    assert built.path.is_relative_to(cache_folder(able))
    assert built.architectures == ("86-real", "86-virtual")  # for this GPU alone, which is quick
    calls = len(calls_of(nvcc))
    assert found_for(able, compute_capability="8.6") == built
    assert found_for({**able, "CUDA_HOME": "", "TENSORRT_ROOT": ""}, compute_capability="8.6") == built
    assert len(calls_of(nvcc)) == calls
    again = found_for(able, compute_capability="7.5")  # the one that is there has no code for it
    assert again.architectures == ("75-real", "75-virtual")
    assert len(calls_of(nvcc)) > calls
    prebuilt = write_library(tmp_path / "prebuilt" / "any" / LIBRARY, tensorrt="10.3.0")
    assert found_for(able, compute_capability="8.6").path == prebuilt


def test_one_of_other_sources_is_not_taken(able: dict[str, str], tmp_path: Path) -> None:
    stale = write_library(cache_folder(able) / "old" / LIBRARY, sources="0123")
    assert found_for(able).path != stale
    with pytest.raises(EngineError, match="found none"):
        found_for({**able, "CUDA_HOME": ""}, compute_capability="7.0")


def test_a_gpu_that_the_compiler_does_not_know_gets_text_that_its_driver_compiles(
    able: dict[str, str],
) -> None:
    assert found_for(able, compute_capability="12.1").architectures[-1] == "120-virtual"


@pytest.mark.parametrize(
    ("lacks", "reason"), [("CUDA_HOME", "nvcc: expected"), ("TENSORRT_ROOT", "NvInfer.h: expected")]
)
def test_where_there_is_none_and_none_can_be_built_both_reasons_and_the_fix_are_told(
    lacks: str, reason: str, able: dict[str, str]
) -> None:
    write_library(cache_folder(able) / "other" / LIBRARY, tensorrt="11.1.0")
    with pytest.raises(EngineError) as caught:
        found_for({**able, lacks: ""})
    said = str(caught.value)
    assert said.startswith(
        f"plugin library: expected one for TensorRT {VERSION}, found none (prebuilt: none in "
    )
    assert "built here before: one for TensorRT 11.1.0 on 86-real, 86-virtual in " in said
    assert f"and none can be built ({reason}" in said
    assert "stn-deploy plugin build -o FOLDER" in said
    assert "STN_DEPLOY_PLUGIN_LIBRARY" in said


def test_none_is_built_where_that_is_not_asked_for(able: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="found none"):
        found_for(able, build=False)
    assert calls_of(tmp_path / "cuda" / "bin" / "nvcc") == []


def test_the_cache_is_where_the_desktop_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "stn-deploy" / "plugins"
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative/path"):  # the specification: a relative one is to be ignored
        assert cache_folder({"XDG_CACHE_HOME": value}) == tmp_path / ".cache" / "stn-deploy" / "plugins"


def test_without_a_home_the_user_is_told_where_a_cache_may_be_and_all_else_works(
    bare: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nobody(number: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    homeless = {**bare, "XDG_CACHE_HOME": ""}
    with pytest.raises(OutputError, match="found none; set XDG_CACHE_HOME"):
        found_for(homeless)
    assert cached_files(homeless) == []
    named = write_library(tmp_path / "named.so")
    assert found_for(homeless, named=named).path == named
    prebuilt = write_library(tmp_path / "prebuilt" / "any" / LIBRARY)
    assert found_for(homeless).path == prebuilt


def test_a_place_without_locks_is_named(
    able: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def without(*_: object) -> NoReturn:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", without)
    with pytest.raises(OutputError, match="cannot be locked .*; set XDG_CACHE_HOME"):
        cached_build(recipe_of(able), tmp_path / "cache")
