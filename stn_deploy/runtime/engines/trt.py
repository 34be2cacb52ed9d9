"""TensorRT and TensorRT-RTX: the whole exported graph as a built engine on the GPU.

The steps are those of NVIDIA's documentation. They have not been measured on a GPU by this project yet.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError, EngineError
from stn_deploy.plugins.library import VARIABLE, cached_files, expect_for, named_library, read_marker
from stn_deploy.plugins.library.loading import is_registered, load_into
from stn_deploy.runtime.engines import FloatBatch, Localisation
from stn_deploy.runtime.engines.device import Device, find_gpu
from stn_deploy.runtime.engines.engine_file import EngineFile, open_engine
from stn_deploy.runtime.engines.libraries import Log, error_recorder, find_library

_INPUTS = ("images", "extents")
_OUTPUTS = ("rectified", "theta", "score")


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
        file = engine if isinstance(engine, EngineFile) else open_engine(engine, gpu=gpu)
        self.record = file.record
        self._engine: Any
        self._context: Any
        self._trt = trt = find_library(file.record.backend).trt
        self._device = Device(gpu)
        try:
            self._log = Log(trt)
            self._runtime: Any = self._start(trt)
            if file.record.version_compatible:  # such an engine carries its own runtime; we wrote it
                self._runtime.engine_host_code_allowed = True
            plugin = file.record.plugin
            if plugin and plugin["kind"] == "library" and plugin["file"]:
                self._load_plugin(file, plugin_library, gpu)
            self._engine = self._runtime.deserialize_cuda_engine(file.data)
            self._context = self._engine.create_execution_context() if self._engine else None
            if self._context is None:
                raise EngineError(
                    f"{file.path}: {self.record.backend} refuses it: {self._log.last()}. "
                    f"Build it again with: {self.record.rebuild_command(file.path)}"
                )
            self._refusals: list[str] = []
            if plugin and plugin["kind"] == "library":  # a plugin cannot write into TensorRT's log
                self._recorder = error_recorder(trt, self._refusals)
                self._context.error_recorder = self._recorder
            types = {name: self._engine.get_tensor_dtype(name) for name in _OUTPUTS}
            self._types = {name: np.dtype(trt.nptype(kind)) for name, kind in types.items()}
        except BaseException:
            self._device.close()
            raise

    def run(self, images: NDArray[np.uint8], extents: FloatBatch) -> tuple[FloatBatch, Localisation]:
        """Straighten a batch; see `stn_deploy.runtime.engines.FullGraph`.

        Raises:
            ArgumentError: the arrays do not fit each other, or the sizes that the engine was built for.
            EngineError: the GPU fails.
        """
        self._check(images, extents)
        self._refusals.clear()
        self._device.activate()
        inputs: tuple[NDArray[Any], ...] = (images, extents)
        for name, values in zip(_INPUTS, inputs, strict=True):
            if not self._context.set_input_shape(name, values.shape):
                raise EngineError(f"{name}: the engine refuses the shape {values.shape}: {self._reason()}")
            self._context.set_tensor_address(name, self._device.upload(name, values))
        results = {}
        for name in _OUTPUTS:
            results[name] = np.empty(tuple(self._context.get_tensor_shape(name)), self._types[name])
            self._context.set_tensor_address(name, self._device.address(name, results[name].nbytes))
        if not self._context.execute_async_v3(self._device.stream):
            raise EngineError(f"the engine failed: {self._reason()}")
        for name, values in results.items():
            self._device.download(name, values)
        self._device.wait()
        rectified, theta, score = (results[name].astype(np.float32, copy=False) for name in _OUTPUTS)
        return rectified, Localisation(theta, score)

    def close(self) -> None:
        """Give the memory of the GPU back."""
        self._context = self._engine = self._runtime = None
        self._device.close()

    def __enter__(self) -> TrtFullGraph:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, trt: Any) -> Any:
        try:
            return trt.Runtime(self._log.logger)
        except (TypeError, RuntimeError) as error:  # pybind11's way to say that it returned nothing
            raise EngineError(f"{self.record.backend} does not start: {self._log.last()}") from error

    def _reason(self) -> str:
        """What the plugin refused, else what the log says last."""
        return "; ".join(dict.fromkeys(self._refusals)) or self._log.last()

    def _check(self, images: NDArray[np.uint8], extents: FloatBatch) -> None:
        if self._context is None:
            raise EngineError("the engine was closed")
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ArgumentError(f"images: expected (n, H, W, 3) uint8, got {images.shape} {images.dtype}")
        if extents.shape != (len(images), 2) or extents.dtype != np.float32:
            expected = f"({len(images)}, 2) float32"
            raise ArgumentError(f"extents: expected {expected}, got {extents.shape} {extents.dtype}")
        self.record.profile.expect(len(images), (images.shape[1], images.shape[2]))

    def _load_plugin(self, file: EngineFile, library: Path | None, gpu: int) -> None:
        plugin: Any = file.record.plugin
        named = named_library()
        usual = [*([named] if named else []), file.path.with_name(plugin["file"])]
        places = [library] if library else usual
        others = [] if library else cached_files()
        found = {path: _sha256(path) for path in [*places, *others] if path.is_file()}
        fitting = [path for path, digest in found.items() if digest == plugin["sha256"]]
        if not fitting:
            shown = [f"{path} with {found[path][:12]}" for path in places if path in found]
            listed = ", ".join(shown) or "none"
            raise EngineError(
                f"{file.path}: needs the plugin library that it was built with; expected {plugin['file']} of "
                f"SHA-256 {plugin['sha256'][:12]} {f'at {library}' if library else 'beside it'}, found "
                f"{listed}; put it beside the engine, name it ({VARIABLE}), or build the engine again: "
                f"{self.record.rebuild_command(file.path)}"
            )
        info = read_marker(fitting[0])
        # An engine may run on other GPUs than the one it was built on; the kernel would say so at the first
        # batch, and to standard error alone.
        expect_for(info, str(self._trt.__version__), find_gpu(gpu).compute_capability)
        registry = self._runtime.get_plugin_registry()
        if is_registered(registry):  # by another engine of this process, or by its program
            return
        try:
            load_into(registry, info)
        except EngineError as error:
            raise EngineError(f"{error}: {self._log.last()}") from error


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror or error})") from error
