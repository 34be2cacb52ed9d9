"""TensorRT and TensorRT-RTX: the whole exported graph as a built engine on the GPU, on arrays of the host.

The steps are those of NVIDIA's documentation. They have not been measured on a GPU by this project yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError, EngineError
from stn_deploy.runtime.engines import FloatBatch, Localisation
from stn_deploy.runtime.engines.device import Device
from stn_deploy.runtime.engines.engine_file import EngineFile, open_engine
from stn_deploy.runtime.engines.trt_loading import OUTPUTS, LoadedEngine

_INPUTS = ("images", "extents")


class TrtFullGraph:
    """The whole exported graph as an engine; see `stn_deploy.runtime.engines.FullGraph`.

    One object serves one thread at a time. `close` gives its memory back, as does the end of a with block.
    """

    def __init__(
        self, engine: Path | EngineFile, *, plugin_library: Path | None = None, gpu: int = 0
    ) -> None:
        """Load an engine.

        Args:
            engine: its path, or what `open_engine` made of it.
            plugin_library: that the engine was built with; by default what STN_DEPLOY_PLUGIN_LIBRARY names,
                or is beside the engine, or was built on this machine. An engine whose plugin was stored in it
                ahead of time needs none.
            gpu: number of the GPU.
        Raises:
            ArtifactError, EngineError, MissingDependency: as `open_engine`.
            EngineError: the library refuses the engine, or an expected plugin library is not there.
        """
        # Where the engine does not fit, or there is no GPU, its record says what was expected.
        file = engine if isinstance(engine, EngineFile) else open_engine(engine, gpu=gpu)
        self._context: Any
        self._device = Device(gpu)
        try:
            with self._device.current():
                self._loaded = LoadedEngine(file, plugin_library, gpu)
                self._context = self._loaded.context()
                self._stream = self._device.stream()
        except BaseException:
            self._device.close()
            raise
        self.record = self._loaded.record
        self._tensors: dict[str, tuple[int, int]] = {}

    def run(self, images: NDArray[np.uint8], extents: FloatBatch) -> tuple[FloatBatch, Localisation]:
        """Straighten a batch; see `stn_deploy.runtime.engines.FullGraph`.

        Raises:
            ArgumentError: the arrays do not fit each other, or the sizes that the engine was built for.
            EngineError: the GPU fails.
        """
        self._check(images, extents)
        self._loaded.refusals.clear()
        with self._device.current():
            inputs: tuple[NDArray[Any], ...] = (np.ascontiguousarray(images), np.ascontiguousarray(extents))
            for name, values in zip(_INPUTS, inputs, strict=True):
                if not self._context.set_input_shape(name, values.shape):
                    raise EngineError(
                        f"{name}: the engine refuses the shape {values.shape}: {self._loaded.reason()}"
                    )
                address = self._address(name, values.nbytes)
                self._device.upload(address, values, self._stream)
                self._context.set_tensor_address(name, address)
            results, types = {}, self._loaded.types
            for name in OUTPUTS:
                results[name] = np.empty(tuple(self._context.get_tensor_shape(name)), types[name])
                self._context.set_tensor_address(name, self._address(name, results[name].nbytes))
            if not self._context.execute_async_v3(self._stream):
                raise EngineError(f"the engine failed: {self._loaded.reason()}")
            for name, values in results.items():
                self._device.download(values, self._tensors[name][0], self._stream)
            self._device.wait_stream(self._stream)
        rectified, theta, score = (results[name].astype(np.float32, copy=False) for name in OUTPUTS)
        return rectified, Localisation(theta, score)

    def close(self) -> None:
        """Give the memory of the GPU back."""
        self._context = None
        self._loaded.close()
        self._device.close()

    def __enter__(self) -> TrtFullGraph:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _address(self, name: str, size: int) -> int:
        """Where the tensor ``name`` lies, with room for ``size`` bytes; what it held may be lost."""
        address, room = self._tensors.get(name, (0, 0))
        if room < size or not address:
            if address:
                self._device.wait_stream(self._stream)
                del self._tensors[name]
                self._device.free("memory", address)
            address = self._device.memory(size)
            self._tensors[name] = (address, size)
        return address

    def _check(self, images: NDArray[np.uint8], extents: FloatBatch) -> None:
        if self._context is None:
            raise EngineError("the engine was closed")
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ArgumentError(f"images: expected (n, H, W, 3) uint8, got {images.shape} {images.dtype}")
        if extents.shape != (len(images), 2) or extents.dtype != np.float32:
            expected = f"({len(images)}, 2) float32"
            raise ArgumentError(f"extents: expected {expected}, got {extents.shape} {extents.dtype}")
        self.record.profile.expect(len(images), (images.shape[1], images.shape[2]))
