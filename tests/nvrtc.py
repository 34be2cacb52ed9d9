"""NVRTC of CUDA 12.9: nvcc 12's compiler as a library, which is all of nvcc 12 that wheels hold."""

from __future__ import annotations

import ctypes
import functools

import pytest

from tests.emulation import KERNELS
from tests.engines.install import folder_of


def compile_ptx(operation: str, axes: int, mode: str) -> bytes:
    """PTX of kernels.cu for Hopper; skips where NVRTC is not installed.

    Raises:
        RuntimeError: what the compiler says, warnings included.
    """
    library = _library()
    defines = (
        f"-DSTN_OPERATION=STN_{operation.upper()}",
        f"-DSTN_AXES={axes}",
        f"-DSTN_INTERPOLATION={mode}",
    )
    options = [b"-std=c++17", b"-arch=compute_90", f"-I{KERNELS}".encode(), *map(str.encode, defines)]
    program = ctypes.c_void_p()
    source = (KERNELS / "kernels.cu").read_bytes()
    library.nvrtcCreateProgram(ctypes.byref(program), source, b"kernels.cu", 0, None, None)
    try:
        status = library.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options)
        )
        log = _text(library, "ProgramLog", program)
        if status or log.strip(b"\0\n"):
            raise RuntimeError(log.decode())
        return _text(library, "PTX", program).rstrip(b"\0")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _text(library: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, text)
    return text.raw


@functools.cache
def _library() -> ctypes.CDLL:
    folder = folder_of("cuda-12.9")
    if folder is None:
        pytest.skip("needs NVRTC of CUDA 12.9: python tests/engines/install.py")
    return ctypes.CDLL(str(folder / "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"))
