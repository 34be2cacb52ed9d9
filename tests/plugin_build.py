"""The plugin library as CMake and nvcc build it, for one kind of GPU, into build/plugin_library/DIGEST."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engines.install import folder_of
from tests.plugin_library import KERNELS, LIBRARY, ROOT, digest_of, locked

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
def library_for(include: Path) -> Path:
    """libstn_deploy_plugin.so for one version of the headers, with its companion beside it."""
    compiler = nvcc()
    used = [*LIBRARY.glob("*.cpp"), *LIBRARY.glob("*.h"), LIBRARY / "CMakeLists.txt", *KERNELS.glob("*.*")]
    folder = BUILT / digest_of([str(compiler), str(include)], [*used, include / "NvInferVersion.h"])
    library = folder / "libstn_deploy_plugin.so"
    with locked(folder):
        if not (folder / "complete").is_file():
            options = [f"-DTENSORRT_ROOT={include}", f"-DCMAKE_CUDA_ARCHITECTURES={ARCHITECTURE}"]
            done = configured(folder, *options, "-DSTN_DEPLOY_WERROR=ON", "-DSTN_DEPLOY_SOURCES=0123abcd")
            assert done.returncode == 0, done.stderr
            command = ["cmake", "--build", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "complete").touch()
    return library
