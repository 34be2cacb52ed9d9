"""The C++ plugin, driven without TensorRT and without a GPU, by a harness that plays TensorRT's part.

Headers are those of the folders that TENSORRT_INCLUDE lists, or the system's. Kernels run on the host, by
emulation. All of it is compiled with the sanitizers for addresses and undefined behaviour, once for each
version of the headers, into build/plugin_harness/DIGEST.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
KERNELS = ROOT / "stn_deploy" / "plugins" / "kernels"
LIBRARY = ROOT / "stn_deploy" / "plugins" / "library"
HARNESS = ROOT / "tests" / "plugin_harness"
BUILT = ROOT / "build" / "plugin_harness"
SYSTEM_HEADERS = (
    "/usr/include/x86_64-linux-gnu",
    "/usr/include/aarch64-linux-gnu",
    "/usr/local/tensorrt/include",
)
FLAGS = ["-std=c++17", "-g1", "-fPIC", "-fno-omit-frame-pointer"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
NO_HEADERS = (
    "needs TensorRT's headers: TENSORRT_INCLUDE lists no folder that holds NvInfer.h, the system has none"
)


def headers() -> list[Path]:
    """Folders with headers of TensorRT 10 or newer, one for each version, oldest first."""
    named = os.environ.get("TENSORRT_INCLUDE", "").split(os.pathsep)
    found = {
        version_of(folder): folder
        for folder in map(Path, [*filter(None, named), *SYSTEM_HEADERS])
        if (folder / "NvInfer.h").is_file()
    }
    return [found[version] for version in sorted(found) if version >= (10, 0, 0)]


def version_of(folder: Path) -> tuple[int, ...]:
    """Of the headers in a folder."""
    text = (folder / "NvInferVersion.h").read_text()
    defined = dict(re.findall(r"#define (?:NV_TENSORRT|TRT)_(\w+?)(?:_ENTERPRISE)? +(\d+)", text))
    return tuple(int(defined[part]) for part in ("MAJOR", "MINOR", "PATCH"))


def each_version() -> Any:
    """A decorator: the test runs once for each version of the headers, and skips where there are none."""
    found = headers()
    if not found:
        return pytest.mark.parametrize(
            "include", [pytest.param(None, marks=pytest.mark.skip(reason=NO_HEADERS))]
        )
    names = ["TensorRT " + ".".join(map(str, version_of(folder))) for folder in found]
    return pytest.mark.parametrize("include", found, ids=names)


class Harness:
    """The harness, running: commands in, answers out. What it says at its end is checked, leaks included."""

    def __init__(self, program: Path, library: Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            [program, library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.said = ""

    @classmethod
    def on_host(cls, include: Path, *, library_of: Path | None = None, **environment: str) -> Harness:
        """Both compiled for the host. library_of: other headers, for the library alone."""
        return cls(built(include)[0], built(library_of or include)[1], **environment)

    def __enter__(self) -> Harness:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _, self.said = self._process.communicate()
        if error is None:
            assert self._process.returncode == 0, self.said

    def __call__(self, *words: object) -> dict[str, Any]:
        """Answer to one command; see harness.cpp."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{words}: the harness died: {self._process.communicate()[1]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def plugin(self, operation: str, **fields: object) -> int:
        """A plugin that is attached to a context, so that what it refuses is in the answers."""
        made = self("create", operation, *(f"{name}=INT32:{listed(value)}" for name, value in fields.items()))
        assert made["plugin"] is not None
        attached = self("attach", made["plugin"])["plugin"]
        assert isinstance(attached, int)
        return attached


def listed(value: object) -> str:
    """Numbers as the harness reads them."""
    return ",".join(map(str, value)) if isinstance(value, Iterable) else str(value)


@functools.cache
def built(include: Path) -> tuple[Path, Path]:
    """Harness and library for one version of the headers, compiled if they are not there yet."""
    compiler = _compiler()
    runtime = emulated_runtime(sanitized=True)
    sources = [path for path in sorted(LIBRARY.glob("*.cpp")) if path.name != "autoload.cpp"]
    includes = [f"-I{HARNESS / 'cuda'}", "-isystem", str(include)]
    flags = [*FLAGS, *SANITIZERS, *WARNINGS, "-O0", "-fvisibility=hidden", *includes]
    used = [*LIBRARY.glob("*.h"), *sources, *HARNESS.rglob("*"), runtime, include / "NvInferVersion.h"]
    folder = BUILT / digest_of([compiler, *flags], used)
    program, library = folder / "harness", folder / "library.so"
    with locked(folder):
        if not library.is_file():
            compile_into(program, [compiler, *flags, str(HARNESS / "harness.cpp"), "-ldl"])
            linked = [str(runtime), f"-Wl,-rpath,{runtime.parent}", "-ldl"]
            compile_into(library, [compiler, *flags, "-shared", *map(str, sources), *linked])
    return program, library


@functools.cache
def emulated_runtime(*, sanitized: bool) -> Path:
    """Launch and kernels for the host, the same whatever TensorRT is there: no headers of it are needed."""
    compiler = _compiler()
    flags = [*FLAGS, "-O1", "-ffp-contract=off", "-DSTN_EMULATION", *(SANITIZERS if sanitized else [])]
    includes = [f"-I{HARNESS / 'cuda'}", f"-I{KERNELS}"]
    own = [HARNESS / "emulated_runtime.cpp", HARNESS / "launches.cpp"]
    used = [path for path in KERNELS.rglob("*") if path.suffix in {".cu", ".cuh", ".h", ".cpp"}]
    folder = BUILT / digest_of([compiler, *flags], [*used, *own, *(HARNESS / "cuda").glob("*")])
    library = folder / "libemulated_runtime.so"
    with locked(folder):
        if not library.is_file():
            options = ["-shared", f"-Wl,-soname,{library.name}", *includes, "-x", "c++"]
            sources = [KERNELS / "launch.cu", KERNELS / "emulation" / "fibers.cpp", *own]
            compile_into(library, [compiler, *flags, *options, *map(str, sources)])
    return library


def _compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        pytest.skip("needs g++")
    return found


def compile_into(to: Path, command: list[str]) -> None:
    """By way of a temporary file, which is renamed once it is whole."""
    temporary = to.with_suffix(".tmp")
    done = subprocess.run([*command, "-o", str(temporary)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    os.replace(temporary, to)


class locked:  # noqa: N801
    """Of a folder, against other processes of the same test run."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "lock").open("w")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def digest_of(command: list[str], files: Iterable[Path]) -> str:
    digest = hashlib.sha256("\0".join(command).encode())
    for path in sorted(path for path in files if path.is_file()):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
