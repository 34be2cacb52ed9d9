"""Results that stay on the GPU: memory that is lent out, and used again when no consumer reads it."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import NamedTuple

from stn_deploy.errors import EngineError
from stn_deploy.runtime.engines.device import Device

LEGACY_STREAM = 1
"""How CUDA and DLPack name the default stream, which always exists."""
NO_STREAM = -1
"""DLPack: the consumer sees to the order itself."""


class Block(NamedTuple):
    """Memory on the GPU: where, bytes, and the event when it was written."""

    address: int
    size: int
    written: int


class Lease:
    """A block in use; it comes back by itself when nobody holds the lease.

    streams: of consumers that may read it, as DLPack names them.
    """

    def __init__(self, pool: BlockPool, block: Block) -> None:
        """Hold a block of a pool."""
        self._pool, self.block = pool, block
        self.streams: set[int] = set()

    def __del__(self) -> None:
        self._pool.give_back(self.block, self.streams)


class BlockPool:
    """Blocks for results, at most so many at a time.

    A consumer lets go on the host while its stream may still read: before a block is written to again, the
    stream that writes waits for the consumer's. What is held when the pool closes is freed when it comes
    back.
    """

    def __init__(self, device: Device, stream: int, *, largest_number: int) -> None:
        """Nothing is allocated yet.

        Args:
            stream: that writes results.
        """
        self._device, self._stream, self._limit = device, stream, largest_number
        self._process = os.getpid()
        self._event = device.event()
        self._blocks: dict[int, Block] = {}
        self._free: list[Block] = []
        # A lease may go at any line of any thread, the garbage collector's included: no lock is taken then.
        self._returned: deque[tuple[Block, set[int]]] = deque()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it is; what is still held was written before."""
        return self._closed

    def take(self, size: int) -> Lease:
        """A block of at least so many bytes.

        Raises:
            EngineError: too many are held, or the GPU has no room.
        """
        size = max(1 << max(size - 1, 0).bit_length(), 1 << 16)
        self._collect()
        for block in self._free:
            if block.size == size:
                self._free.remove(block)
                return Lease(self, block)
        if len(self._blocks) == self._limit and self._free:
            self._drop(self._free.pop(0))
        if len(self._blocks) == self._limit:
            raise EngineError(
                f"results on the GPU: expected at most {self._limit} batches to be held at a time, got one "
                "more; let go of earlier ones (del, or DeviceBatch.close), or allow more with held="
            )
        written = self._device.event()
        try:
            address = self._device.memory(size)
        except EngineError:
            self._device.free("event", written)
            raise
        block = self._blocks[address] = Block(address, size, written)
        return Lease(self, block)

    def give_back(self, block: Block, streams: set[int]) -> None:
        """A lease has gone; from any thread, in any state."""
        self._returned.append((block, streams))
        if self._closed:
            self._free_returned()

    def close(self) -> None:
        """Free what is free; what is held is freed when it comes back.

        All was written before, and the device is closed next.
        """
        with contextlib.suppress(EngineError):
            self._collect()
            while self._free:
                self._drop(self._free.pop())
        for address in self._blocks:
            self._device.lend(address)
        self._closed = True
        self._free_returned()

    def _drop(self, block: Block) -> None:
        del self._blocks[block.address]
        self._device.free("memory", block.address)
        self._device.free("event", block.written)

    def _collect(self) -> None:
        """Blocks that came back are free, once what reads them is over."""
        while self._returned:
            block, streams = self._returned[0]
            if streams - {LEGACY_STREAM}:  # one that may be gone by now cannot be asked
                self._device.wait_all()
            elif streams:
                self._device.record(self._event, LEGACY_STREAM)
                self._device.order(self._stream, self._event)
            self._returned.popleft()
            self._free.append(block)

    def _free_returned(self) -> None:
        """After closing; cudaFree itself waits for all that the GPU does."""
        while self._process == os.getpid():
            try:
                block, _ = self._returned.popleft()
            except IndexError:
                return
            with contextlib.suppress(EngineError):
                self._device.take_back(block.address)
