"""What was straightened and stays on the GPU, for a recogniser that runs there: arrays that speak DLPack."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ClosedError
from stn_deploy.runtime.engines import Localisation
from stn_deploy.runtime.engines.capsules import CUDA, capsule_of
from stn_deploy.runtime.engines.device import Device
from stn_deploy.runtime.engines.results import LEGACY_STREAM, NO_STREAM, BlockPool, Lease
from stn_deploy.runtime.engines.staging import Layout, Outputs


class DeviceBatch:
    """Results of one call, on the GPU, in the order of the images.

    ``torch.from_dlpack(batch.rectified)`` and ``cupy.from_dlpack(batch.rectified)`` share the memory; it
    stays as it is until the batch and all that was made of it are gone. The work may still be running:
    whoever takes an array names its stream, which waits on the GPU, not on the host.

    sampled: (n,) bool, on the host; see `stn_deploy.runtime.engines.Straightened`.
    """

    def __init__(
        self,
        device: Device,
        pool: BlockPool,
        lock: threading.Lock,
        stream: int,
        outputs: Outputs,
        lease: Lease,
        sampled: NDArray[np.bool_],
    ) -> None:
        """Describe a block that was, or is being, written on ``stream``."""
        self._device, self._pool, self._lock, self._stream = device, pool, lock, stream
        self._lease: Lease | None = lease
        self._outputs = outputs
        self._starts: Mapping[str, int] = Layout.of(outputs, len(sampled)).starts
        self.sampled = sampled

    @property
    def rectified(self) -> DeviceTensor:
        """(n, 3, h, w), scaled as the spec says; float32, float16 where the model file is."""
        return DeviceTensor(self, "rectified")

    @property
    def theta(self) -> DeviceTensor:
        """(n, K, 2) float32, normalised."""
        return DeviceTensor(self, "theta")

    @property
    def score(self) -> DeviceTensor:
        """(n,) float32 in [0, 1]."""
        return DeviceTensor(self, "score")

    def localisation(self) -> Localisation:
        """theta and score on the host, once they are there.

        Raises:
            ClosedError: the batch was closed, or its engine.
        """
        lease = self.lease()
        found = []
        with self._lock:
            if self._pool.closed:
                raise ClosedError("batch: expected its engine to be open, got one that was closed")
            with self._device.current():
                for name in ("theta", "score"):
                    shape, kind = self.described(name)
                    values = np.empty(shape, kind)
                    if values.size:
                        self._device.download(values, lease.block.address + self._starts[name], self._stream)
                    found.append(values)
                self._device.wait_stream(self._stream)
        theta, score = (values.astype(np.float32, copy=False) for values in found)
        return Localisation(theta, score)

    def described(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of an output."""
        row, kind = self._outputs[name]
        return (len(self.sampled), *row), kind

    def export(self, name: str, stream: int, *, versioned: bool) -> Any:
        """A DLPack capsule of an output, complete for what is queued on a consumer's stream from now on."""
        lease = self.lease()
        with self._lock:
            # The engine waits for all its work before it closes, and takes its events with it.
            if stream != NO_STREAM and not self._pool.closed:
                with self._device.current():
                    self._device.order(stream, lease.block.written)
            lease.streams.add(stream)
        address = lease.block.address + self._starts[name]
        shape, kind = self.described(name)
        return capsule_of(lease, address, shape, kind, self.place, versioned=versioned)

    @property
    def place(self) -> tuple[int, int]:
        """As ``__dlpack_device__`` says it."""
        return CUDA, self._device.index

    def lease(self) -> Lease:
        """What holds the memory."""
        if self._lease is None:
            raise ClosedError("batch: expected an open one, got one that was closed")
        return self._lease

    def close(self) -> None:
        """Let go of the memory; arrays that were made of it keep it."""
        self._lease = None

    def __enter__(self) -> DeviceBatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.sampled)


class DeviceTensor:
    """One output of a batch; see `DeviceBatch`.

    shape: its lengths. dtype: NumPy's type.
    """

    def __init__(self, batch: DeviceBatch, name: str) -> None:
        """Name an output."""
        self._batch, self._name = batch, name
        self.shape, self.dtype = batch.described(name)

    def __dlpack_device__(self) -> tuple[int, int]:
        """kDLCUDA, and the number of the GPU."""
        return self._batch.place

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule, as the array API standard describes it.

        Args:
            stream: of the consumer: an address; 1 or None for the default stream, 2 for that of the thread;
                -1 where the consumer sees to the order itself.
            max_version: that the consumer knows; from (1, 0) on it gets the new form.
        Raises:
            BufferError: a copy, or another device, is asked for; or a stream that says nothing.
            ClosedError: the batch was closed.
        """
        place = self._batch.place
        if copy or (dl_device is not None and (int(dl_device[0]), int(dl_device[1])) != place):
            raise BufferError(
                f"{self._name}: expected to be shared where it is, on GPU {place[1]}; got copy={copy}, "
                f"dl_device={dl_device}; copy it there afterwards, as with torch's .cpu()"
            )
        if stream is not None and (stream == 0 or stream < NO_STREAM):
            raise BufferError(
                f"{self._name}: stream: expected an address, 1 or 2 for a default one, or -1, got {stream}"
            )
        versioned = max_version is not None and max_version[0] >= 1
        return self._batch.export(
            self._name, LEGACY_STREAM if stream is None else stream, versioned=versioned
        )

    def __repr__(self) -> str:
        return (
            f"DeviceTensor({self._name}, shape={self.shape}, dtype={self.dtype}, GPU {self._batch.place[1]})"
        )
