"""A built engine that is fed by address: for each size of input an execution context of its own.

Contexts run one after the other on one stream and share their scratch memory, which TensorRT's documentation
asks for where several graphs are captured. Unmeasured by this project on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stn_deploy.errors import EngineError
from stn_deploy.runtime.engines.buckets import Buckets
from stn_deploy.runtime.engines.device import Device
from stn_deploy.runtime.engines.engine_file import EngineFile
from stn_deploy.runtime.engines.trt_loading import OUTPUTS, LoadedEngine


class TrtDeviceGraph:
    """The whole exported graph as an engine; see `stn_deploy.runtime.engines.DeviceGraph`.

    record: of the engine's file.
    """

    capturable = True

    def __init__(
        self,
        engine: Path | EngineFile,
        device: Device,
        stream: int,
        *,
        plugin_library: Path | None = None,
        room: int = 16 << 20,
    ) -> None:
        """Load an engine onto a GPU that is current; its runs go to one stream of it.

        Args:
            engine, plugin_library: as for `stn_deploy.runtime.engines.trt.TrtFullGraph`; so are the errors.
            room: see `Buckets`.
        """
        self._loaded = LoadedEngine(engine, plugin_library, device.index)
        self._stream = stream
        self.record = self._loaded.record
        self.buckets = Buckets.of_profile(self.record.profile, room=room)
        spec, rows = self.record.spec, {"rectified": (3, *self.record.spec.output_size), "score": ()}
        rows["theta"] = (spec.control_points, 2)
        self.outputs: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            name: (rows[name], self._loaded.types[name]) for name in OUTPUTS
        }
        found = self._loaded.engine
        size = getattr(found, "device_memory_size_v2", None)  # from TensorRT 10.1 on
        self._size = int(found.device_memory_size if size is None else size)
        self._scratch = device.memory(self._size)

    def bind(self, batch: int, canvas: tuple[int, int], addresses: Mapping[str, int]) -> TrtBound:
        """A context for one size; see `stn_deploy.runtime.engines.DeviceGraph`.

        Raises:
            EngineError: the engine was not built for that size.
        """
        context = self._loaded.context(user_managed=True)
        _give_scratch(context, self._scratch, self._size)
        shapes = {"images": (batch, *canvas, 3), "extents": (batch, 2)}
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise EngineError(f"{name}: the engine refuses the shape {shape}: {self._loaded.reason()}")
        for name, (row, _) in self.outputs.items():
            found = tuple(context.get_tensor_shape(name))
            if found != (batch, *row):
                raise EngineError(
                    f"{self._loaded.path}: expected {name} of shape {(batch, *row)} as its record says, got "
                    f"{found}; build it again with: {self.record.rebuild_command(self._loaded.path)}"
                )
        for name, address in addresses.items():
            context.set_tensor_address(name, address)
        return TrtBound(self._loaded, context, self._stream)

    def close(self) -> None:
        """Let go of the engine; its scratch memory goes with its `Device`."""
        self._loaded.close()


class TrtBound:
    """A context whose sizes and addresses are set."""

    def __init__(self, loaded: LoadedEngine, context: Any, stream: int) -> None:
        """Take what `TrtDeviceGraph.bind` made."""
        self._loaded, self._context, self._stream = loaded, context, stream

    def enqueue(self) -> None:
        """Queue one run; see `stn_deploy.runtime.engines.Bound`."""
        self._loaded.refusals.clear()
        if not self._context.execute_async_v3(self._stream):
            raise EngineError(f"the engine failed: {self._loaded.reason()}")

    def close(self) -> None:
        """Let go of the context."""
        self._context = None


def _give_scratch(context: Any, address: int, size: int) -> None:
    if hasattr(context, "set_device_memory"):  # from TensorRT 10.1 on
        context.set_device_memory(address, size)
    else:
        context.device_memory = address
