"""NVIDIA's driver library through ctypes: each machine with an NVIDIA GPU has it, nothing is installed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_ulonglong, c_void_p
from typing import Any

from stn_deploy.errors import EngineError

LIBRARY = "libcuda.so.1"
OLDEST = (7, 5)
"""Compute capability that the PTX is compiled for; newer GPUs run it as well."""

_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuCtxGetCurrent": (POINTER(c_void_p),),
    "cuCtxPushCurrent_v2": (c_void_p,),
    "cuCtxPopCurrent_v2": (POINTER(c_void_p),),
    "cuModuleLoadDataEx": (POINTER(c_void_p), c_char_p, c_uint, POINTER(c_int), POINTER(c_void_p)),
    "cuModuleGetFunction": (POINTER(c_void_p), c_void_p, c_char_p),
    "cuLaunchKernel": (c_void_p, *(c_uint,) * 7, c_void_p, POINTER(c_void_p), POINTER(c_void_p)),
    "cuPointerGetAttribute": (c_void_p, c_int, c_ulonglong),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
}
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_LOG, _LOG_SIZE = 5, 6  # CU_JIT_ERROR_LOG_BUFFER and its size
_LOG_ROOM = 4096
_EVENT_WITHOUT_TIME = 2
_DEVICE_ORDINAL = 9

_CAPTURE = (
    "kernels are loaded on first use, which is forbidden while a stream is captured; call it once before"
)
_HINTS = {
    3: "CUDA cannot be used in a process that was forked after it was started; use the start method spawn",
    35: "the driver is older than the program; update NVIDIA's driver",
    100: "no NVIDIA GPU is visible here; look at nvidia-smi and CUDA_VISIBLE_DEVICES",
    218: "the driver cannot read the PTX; update NVIDIA's driver",
    222: "the PTX is newer than the driver; update NVIDIA's driver",
    700: "a kernel before this one read or wrote outside its memory; CUDA_LAUNCH_BLOCKING=1 shows which",
    719: "a kernel before this one failed; CUDA_LAUNCH_BLOCKING=1 shows which",
    803: "the driver and the CUDA compatibility package differ in version; update one of them",
    900: _CAPTURE,
    901: _CAPTURE,
}


class Driver:
    """The library, started. Its functions are attributes; `call` runs one and raises where it fails."""

    cuCtxGetCurrent: Any  # noqa: N815, the names are NVIDIA's
    cuLaunchKernel: Any  # noqa: N815
    cuModuleLoadDataEx: Any  # noqa: N815

    def __init__(self, library: str = LIBRARY) -> None:
        """Load and start it.

        Raises:
            EngineError: there is no driver, or no GPU that it knows.
        """
        try:
            loaded = ctypes.CDLL(library)
        except OSError as error:
            raise EngineError(
                f"expected an NVIDIA GPU and its driver, found no {library} ({error}); "
                "on a machine without one use stn_deploy.stn, which needs none"
            ) from error
        for name, arguments in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.argtypes, function.restype = arguments, c_int
            setattr(self, name, function)
        self._name = _text_of(loaded.cuGetErrorName)
        self._text = _text_of(loaded.cuGetErrorString)
        self.call("cuInit", 0)
        self.version = self._integer("cuDriverGetVersion")

    def call(self, name: str, *arguments: Any, doing: str = "") -> None:
        """Run a function of the library.

        Raises:
            EngineError: it failed; the message names ``doing``, else the function.
        """
        status = getattr(self, name)(*arguments)
        if status:
            raise self.error(status, doing or name)

    def error(self, status: int, doing: str, detail: str = "") -> EngineError:
        """What a status says, and what to do about it."""
        hint = _HINTS.get(status)
        said = ": ".join(filter(None, (self._name(status), self._text(status), detail)))
        return EngineError(f"CUDA: {doing} failed: {said}" + (f"; {hint}" if hint else ""))

    def context(self, index: int) -> c_void_p:
        """The primary context of a GPU, the one that torch, CuPy and the CUDA runtime use.

        Raises:
            EngineError: there is no such GPU, or it is older than the kernels.
        """
        count = self._integer("cuDeviceGetCount")
        if not 0 <= index < count:
            raise EngineError(f"expected GPU {index}, found {count} of them")
        device = self._integer("cuDeviceGet", index)
        found = tuple(
            self._integer("cuDeviceGetAttribute", attribute, device)
            for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR)
        )
        if found < OLDEST:
            raise EngineError(
                f"GPU {index}: expected compute capability {_dotted(OLDEST)} or newer, got {_dotted(found)}; "
                "use stn_deploy.stn there"
            )
        context = c_void_p()
        self.call("cuDevicePrimaryCtxRetain", byref(context), device)
        return context

    def module(self, ptx: bytes, name: str) -> c_void_p:
        """PTX compiled for the GPU of the current context.

        Raises:
            EngineError: the driver refuses it; the message holds what its compiler says.
        """
        log = ctypes.create_string_buffer(_LOG_ROOM)
        options = (c_int * 2)(_LOG, _LOG_SIZE)
        values = (c_void_p * 2)(ctypes.addressof(log), _LOG_ROOM)
        module = c_void_p()
        status = self.cuModuleLoadDataEx(byref(module), ptx, 2, options, values)
        if status:
            version = f"the driver knows CUDA {self.version // 1000}.{self.version % 1000 // 10}"
            said = " ".join(log.value.decode(errors="replace").split())
            raise self.error(status, f"loading {name}.ptx", ", ".join(filter(None, (said, version))))
        return module

    def function(self, module: c_void_p, name: str) -> c_void_p:
        """A kernel of a module.

        Raises:
            EngineError: it is not in there.
        """
        function = c_void_p()
        self.call("cuModuleGetFunction", byref(function), module, name.encode(), doing=f"looking for {name}")
        return function

    def device_of(self, address: int) -> int:
        """Number of the GPU in whose memory an address lies.

        Raises:
            EngineError: it lies in no GPU's memory.
        """
        index = c_int()
        doing = f"looking for the GPU that holds {address:#x}"
        self.call("cuPointerGetAttribute", byref(index), _DEVICE_ORDINAL, address, doing=doing)
        return index.value

    def event(self) -> c_void_p:
        """An event of the current context, to order streams with."""
        event = c_void_p()
        self.call("cuEventCreate", byref(event), _EVENT_WITHOUT_TIME)
        return event

    def _integer(self, name: str, *arguments: Any) -> int:
        value = c_int()
        self.call(name, byref(value), *arguments)
        return value.value


def _text_of(function: Any) -> Callable[[int], str]:
    function.argtypes, function.restype = (c_int, POINTER(c_char_p)), c_int

    def text(status: int) -> str:
        found = c_char_p()
        function(status, byref(found))
        return (found.value or b"unknown error").decode()

    return text


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
