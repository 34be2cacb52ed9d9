"""A launcher whose GPU is the host: kernels run on memory of the CPU, by their emulation."""

from __future__ import annotations

from ctypes import c_int32, c_void_p

from stn_deploy.plugins.launch import Launch
from stn_deploy.plugins.launch.plan import THREADS
from tests.emulation import emulate


class EmulatedLauncher:
    """Remembers what it launched.

    Attributes:
        launched: each launch, with the number of its GPU and its stream.
        ordered: pairs of streams, the second of which was to wait for the first.
    """

    def __init__(self) -> None:
        self.launched: list[tuple[Launch, int, int]] = []
        self.ordered: list[tuple[int, int]] = []

    def launch(self, call: Launch, device: int, stream: int) -> None:
        self.launched.append((call, device, stream))
        kinds = {"P": c_void_p, "i": c_int32}
        pairs = zip(call.kernel.layout, call.arguments, strict=True)
        arguments = [kinds[letter](value) for letter, value in pairs]
        emulate(call.kernel.name, call.blocks, THREADS, arguments)

    def order(self, before: int, after: int, device: int) -> None:
        self.ordered.append((before, after))

    def device_of(self, address: int) -> int:
        return 0
