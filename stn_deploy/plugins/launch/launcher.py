"""Launches the shipped PTX on a GPU. Tests put another launcher in its place."""

from __future__ import annotations

import ctypes
import struct
import threading
from ctypes import byref, c_void_p
from functools import cache
from pathlib import Path
from typing import Protocol

from stn_deploy.errors import EngineError
from stn_deploy.plugins.launch.driver import Driver
from stn_deploy.plugins.launch.plan import THREADS, Kernel, Launch, offsets_of

PTX = Path(__file__).resolve().parent.parent / "kernels" / "ptx"


class Launcher(Protocol):
    """What runs kernels."""

    def launch(self, call: Launch, device: int, stream: int) -> None:
        """Queue a launch on a stream, an address, of the GPU of a number; 0 is its default stream."""

    def order(self, before: int, after: int, device: int) -> None:
        """Let what is queued on the stream ``after`` from now on wait for what is on ``before``."""

    def device_of(self, address: int) -> int:
        """Number of the GPU in whose memory an address lies."""


class GpuLauncher:
    """Loads a module on first use, once for each GPU, and launches in its primary context; any thread may."""

    def __init__(self, driver: Driver, ptx: Path = PTX) -> None:
        """Load nothing yet.

        Args:
            ptx: folder of the modules.
        """
        self._driver = driver
        self._ptx = ptx
        self._lock = threading.Lock()
        self._contexts: dict[int, c_void_p] = {}
        self._modules: dict[tuple[int, str], c_void_p] = {}
        self._functions: dict[tuple[int, Kernel], c_void_p] = {}
        self._local = _OfThread()

    def launch(self, call: Launch, device: int, stream: int) -> None:
        """See `Launcher`.

        Raises:
            EngineError: there is no such GPU, its driver refuses the PTX, or the launch fails.
        """
        kernel = call.kernel
        function = self._functions.get((device, kernel)) or self._load(device, kernel)
        packed = self._local.room(kernel.layout)
        packed.write(packed.buffer, 0, *call.arguments)
        pushed = self._enter(device)
        status = self._driver.cuLaunchKernel(
            function, call.blocks, 1, 1, THREADS, 1, 1, 0, stream, packed.pointers, None
        )
        if pushed:
            self._leave()
        if status:
            raise self._driver.error(status, f"launching {kernel.name} with {call.blocks} blocks")

    def order(self, before: int, after: int, device: int) -> None:
        """See `Launcher`.

        Raises:
            EngineError: there is no such GPU, or it refuses.
        """
        pushed = self._enter(device)
        try:
            events = self._local.events
            event = events.get(device) or events.setdefault(device, self._driver.event())
            self._driver.call("cuEventRecord", event, before)
            self._driver.call("cuStreamWaitEvent", after, event, 0)
        finally:
            if pushed:
                self._leave()

    def device_of(self, address: int) -> int:
        """See `Launcher`.

        Raises:
            EngineError: it lies in no GPU's memory.
        """
        return self._driver.device_of(address)

    def _enter(self, device: int) -> bool:
        """Make the GPU's context current; whether it was not."""
        context = self._contexts.get(device) or self._context(device)
        local = self._local
        self._driver.cuCtxGetCurrent(local.current_address)
        if local.current.value == context.value:
            return False
        self._driver.call("cuCtxPushCurrent_v2", context)
        return True

    def _leave(self) -> None:
        self._driver.call("cuCtxPopCurrent_v2", byref(c_void_p()))

    def _context(self, device: int) -> c_void_p:
        with self._lock:
            if device not in self._contexts:
                self._contexts[device] = self._driver.context(device)
            return self._contexts[device]

    def _load(self, device: int, kernel: Kernel) -> c_void_p:
        pushed = self._enter(device)
        try:
            with self._lock:
                module = self._modules.get((device, kernel.module))
                if module is None:
                    module = self._driver.module(self._text(kernel.module), kernel.module)
                    self._modules[device, kernel.module] = module
                function = self._driver.function(module, kernel.name)
                self._functions[device, kernel] = function
                return function
        finally:
            if pushed:
                self._leave()

    def _text(self, module: str) -> bytes:
        path = self._ptx / f"{module}.ptx"
        try:
            return path.read_bytes()
        except OSError as error:
            raise EngineError(
                f"{path}: cannot be read ({error.strerror}); it comes with stn-deploy, so install that again"
            ) from error


@cache
def gpu_launcher() -> GpuLauncher:
    """The launcher of this process.

    Raises:
        EngineError: there is no NVIDIA driver, or no GPU.
    """
    return GpuLauncher(Driver())


class _Packed:
    """Room for the arguments of a launch, and what cuLaunchKernel wants: the address of each."""

    def __init__(self, layout: str) -> None:
        packer = struct.Struct(f"@{layout}")
        self.write = packer.pack_into
        self.buffer = ctypes.create_string_buffer(packer.size)
        start = ctypes.addressof(self.buffer)
        self.pointers = (c_void_p * len(layout))(*(start + offset for offset in offsets_of(layout)))


class _OfThread(threading.local):
    """What each thread has for itself: cuLaunchKernel reads arguments while other Python threads run."""

    def __init__(self) -> None:
        self.arguments: dict[str, _Packed] = {}
        self.events: dict[int, c_void_p] = {}
        self.current = c_void_p()
        self.current_address = byref(self.current)

    def room(self, layout: str) -> _Packed:
        """Room for arguments of a layout."""
        return self.arguments.get(layout) or self.arguments.setdefault(layout, _Packed(layout))
