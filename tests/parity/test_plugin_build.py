"""The library that ``stn-deploy plugin build`` makes, by the real compiler: what it shows, who loads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stn_deploy.plugins.library import Recipe, build_library, find_compiler, find_headers
from stn_deploy.plugins.library.marker import read_marker
from stn_deploy.plugins.library.recipe import AUTOLOAD, LIBRARY, sources_digest
from tests.engines.install import FOLDER, folder_of
from tests.plugin_library import NO_HEADERS, headers, version_of

ROOT = Path(__file__).resolve().parents[2]
LEAN = {10: "10.15", 11: "11.4"}
"""The lean runtime of each major version."""

_LOAD = """
import json, sys
import tensorrt_lean_bindings as trt
registry = trt.get_plugin_registry()
handle = registry.load_library(sys.argv[1])
names = [each.name for each in registry.all_creators if each.plugin_namespace == "stn_deploy"]
print(json.dumps({"loaded": handle is not None, "creators": sorted(names)}))
"""

_CHANGE = """
import json, sys
from pathlib import Path
from tests.engines.walk_ahead import stand_in, trt
from stn_deploy.errors import EngineError
from stn_deploy.plugins import ahead_of_time, library
from stn_deploy.plugins.library.loading import is_registered, load_library
stand_in()
registry = trt.get_plugin_registry()
info = library.read_marker(Path(sys.argv[1]))
states = []
def note(what):
    states.append([what, is_registered(registry)])
ahead_of_time.register(trt); note("offered")
ahead_of_time.withdraw(trt); note("withdrawn")
ahead_of_time.register(trt); note("offered again")
ahead_of_time.withdraw(trt)
load_library(trt, info); note("loaded")
load_library(trt, info); note("loaded again")
try:
    ahead_of_time.register(trt)
except EngineError as error:
    note(str(error))
print(json.dumps(states))
"""

pytestmark = pytest.mark.tensorrt


@pytest.fixture(scope="module", params=sorted(LEAN))
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the newest headers of a major version, for Turing alone."""
    found = [folder for folder in headers() if version_of(folder)[0] == request.param]
    if not found:
        pytest.skip(f"{NO_HEADERS} (of TensorRT {request.param})")
    cuda = folder_of("cuda-13.0")
    if cuda is None:
        pytest.skip(f"needs {FOLDER}/cuda-13.0: make engines installs it where it has a wheel")
    compiler = find_compiler({"CUDA_HOME": str(cuda / "nvidia" / "cu13"), "PATH": ""})
    recipe = Recipe(headers=find_headers(found[-1]), compiler=compiler, architectures=compiler.chosen((75,)))
    return build_library(recipe, tmp_path_factory.mktemp("built") / "here")


def exported(path: Path) -> list[str]:
    done = subprocess.run(
        ["nm", "--dynamic", "--defined-only", str(path)], capture_output=True, text=True, check=True
    )
    return sorted(line.split()[-1] for line in done.stdout.splitlines())


def needed(path: Path) -> str:
    return subprocess.run(
        ["readelf", "--dynamic", str(path)], capture_output=True, text=True, check=True
    ).stdout


def test_it_shows_its_two_doors_and_links_neither_tensorrt_nor_the_runtime_of_cuda(library: Path) -> None:
    assert exported(library) == ["getCreators", "setLoggerFinder"]
    assert exported(library.with_name(AUTOLOAD)) == []
    for path in (library, library.with_name(AUTOLOAD)):
        text = needed(path)
        assert [name for name in ("nvinfer", "cudart", "libstdc++", "libgcc") if name in text] == []


def test_it_says_what_it_was_built_with(library: Path) -> None:
    info = read_marker(library)
    assert info.major in LEAN
    assert (info.cuda, info.architectures) == ("13.0", ("75-real", "75-virtual"))
    assert info.sources == sources_digest()
    assert library.name == LIBRARY


def in_lean(version: str, code: str, library: Path) -> Any:
    """What a script prints about a library, run with a lean runtime."""
    folder = folder_of(f"tensorrt-lean-{version}")
    if folder is None:
        pytest.skip(f"needs {FOLDER}/tensorrt-lean-{version}: make engines installs it where it has a wheel")
    done = subprocess.run(
        [sys.executable, "-c", code, str(library)],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_runtime_of_its_major_version_loads_it_and_the_other_one_does_not(library: Path) -> None:
    own = read_marker(library).major
    for major, version in LEAN.items():
        creators = ["GivenGridSample", "ThetaGridSample"] if major == own else []
        assert in_lean(version, _LOAD, library) == {"loaded": major == own, "creators": creators}


def test_one_process_may_take_the_library_after_the_way_without_it_but_not_before(library: Path) -> None:
    """The registry keeps one plugin of a name, and cannot forget one of a library."""
    states = in_lean(LEAN[read_marker(library).major], _CHANGE, library)
    expected = {
        "offered": True,
        "withdrawn": False,
        "offered again": True,
        "loaded": True,
        "loaded again": True,
    }
    assert states[:-1] == [list(item) for item in expected.items()]
    assert states[-1][0].startswith(
        "plugin: a library has brought ThetaGridSample and GivenGridSample into this"
    )
