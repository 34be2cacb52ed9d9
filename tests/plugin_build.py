"""The plugin library as CMake and nvcc build it, for one kind of GPU, into build/plugin_library/DIGEST."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engines.install import folder_of
from tests.plugin_library import HARNESS, KERNELS, LIBRARY, ROOT, compile_into, digest_of, locked

BUILT = ROOT / "build" / "plugin_library"
ARCHITECTURE = "75-real"
"""The oldest one: the fewest instructions to choose from, and the quickest to compile."""


def configured(to: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What CMake says; skips where CMake or nvcc is missing."""
    if shutil.which("cmake") is None:
        pytest.skip("needs CMake")
    command = ["cmake", "-S", str(LIBRARY), "-B", str(to), f"-DCMAKE_CUDA_COMPILER={nvcc()}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def nvcc() -> Path:
    """The compiler that is pinned, else the system's."""
    folder = folder_of("cuda-13.0")
    if folder is not None:
        return folder / "nvidia" / "cu13" / "bin" / "nvcc"
    found = shutil.which("nvcc")
    if found is None:
        pytest.skip("needs nvcc: make engines installs it where it has a wheel")
    return Path(found)


@functools.cache
def library_for(include: Path, architecture: str = ARCHITECTURE) -> Path:
    """libstn_deploy_plugin.so for one version of the headers, with its companion beside it."""
    compiler = nvcc()
    used = [*LIBRARY.glob("*.cpp"), *LIBRARY.glob("*.h"), LIBRARY / "CMakeLists.txt", *KERNELS.glob("*.*")]
    folder = BUILT / digest_of(
        [str(compiler), str(include), architecture], [*used, include / "NvInferVersion.h"]
    )
    library = folder / "libstn_deploy_plugin.so"
    with locked(folder):
        if not (folder / "complete").is_file():
            options = [f"-DTENSORRT_ROOT={include}", f"-DCMAKE_CUDA_ARCHITECTURES={architecture}"]
            done = configured(folder, *options, "-DSTN_DEPLOY_WERROR=ON", "-DSTN_DEPLOY_SOURCES=0123abcd")
            assert done.returncode == 0, done.stderr
            command = ["cmake", "--build", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "complete").touch()
    return library


@functools.cache
def harness_on_gpu(include: Path) -> Path:
    """The harness, with memory that host and GPU share in place of the host's."""
    compiler = nvcc()
    flags = [
        "-std=c++17",
        "-O1",
        "-DSTN_ON_GPU",
        f"-L{compiler.parents[1] / 'lib'}",
        "-isystem",
        str(include),
    ]
    used = [*HARNESS.glob("*.h"), HARNESS / "harness.cpp", include / "NvInferVersion.h"]
    folder = BUILT / digest_of([str(compiler), *flags], used)
    program = folder / "harness"
    with locked(folder):
        if not program.is_file():
            compile_into(program, [str(compiler), *flags, str(HARNESS / "harness.cpp"), "-ldl"])
    return program
