"""Loading a built engine into TensorRT or TensorRT-RTX, with the plugin library that it was built with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from stn_deploy.errors import EngineError
from stn_deploy.plugins.library import VARIABLE, cached_files, expect_for, named_library, read_marker
from stn_deploy.plugins.library.loading import is_registered, load_into
from stn_deploy.runtime.engines.device import find_gpu
from stn_deploy.runtime.engines.engine_file import EngineFile, open_engine
from stn_deploy.runtime.engines.libraries import Log, error_recorder, find_library

OUTPUTS = ("rectified", "theta", "score")


class LoadedEngine:
    """An engine in its library, from which execution contexts are made.

    record: of its file. types: of its outputs.
    """

    def __init__(self, engine: Path | EngineFile, plugin_library: Path | None, gpu: int) -> None:
        """Load it; the GPU is the calling thread's. Arguments and errors as for `TrtFullGraph`."""
        file = engine if isinstance(engine, EngineFile) else open_engine(engine, gpu=gpu)
        self.record = file.record
        self.path = file.path
        self.trt = trt = find_library(file.record.backend).trt
        self._log = Log(trt)
        self._runtime: Any = self._start()
        if file.record.version_compatible:  # such an engine carries its own runtime; we wrote it
            self._runtime.engine_host_code_allowed = True
        plugin = file.record.plugin
        if plugin and plugin["kind"] == "library" and plugin["file"]:
            self._load_plugin(file, plugin_library, gpu)
        self.refusals: list[str] = []
        self._recorder: Any = None
        if plugin and plugin["kind"] == "library":  # a plugin cannot write into TensorRT's log
            self._recorder = error_recorder(trt, self.refusals)
        self.engine: Any = self._runtime.deserialize_cuda_engine(file.data)
        if self.engine is None:
            raise self.refused()
        types = {name: self.engine.get_tensor_dtype(name) for name in OUTPUTS}
        self.types = {name: np.dtype(trt.nptype(kind)) for name, kind in types.items()}

    def context(self, *, user_managed: bool = False) -> Any:
        """An execution context.

        Args:
            user_managed: without scratch memory, which must be given to it.
        Raises:
            EngineError: it cannot be made.
        """
        made = self._without_memory() if user_managed else self.engine.create_execution_context()
        if made is None:
            raise self.refused()
        if self._recorder is not None:
            made.error_recorder = self._recorder
        return made

    def _without_memory(self) -> Any:
        strategies = getattr(self.trt, "ExecutionContextAllocationStrategy", None)
        if strategies is None:  # the oldest of TensorRT 10
            return self.engine.create_execution_context_without_device_memory()
        if not hasattr(self.engine, "create_runtime_config"):
            return self.engine.create_execution_context(strategies.USER_MANAGED)
        config = self.engine.create_runtime_config()  # TensorRT-RTX, and newer ones of TensorRT
        config.set_execution_context_allocation_strategy(strategies.USER_MANAGED)
        return self.engine.create_execution_context(config)

    def reason(self) -> str:
        """What the plugin refused, else what the log says last."""
        return "; ".join(dict.fromkeys(self.refusals)) or self._log.last()

    def refused(self) -> EngineError:
        """That the library will not have it."""
        return EngineError(
            f"{self.path}: {self.record.backend} refuses it: {self._log.last()}. "
            f"Build it again with: {self.record.rebuild_command(self.path)}"
        )

    def close(self) -> None:
        """Let go of it, after its contexts."""
        self.engine = self._runtime = None

    def _start(self) -> Any:
        try:
            return self.trt.Runtime(self._log.logger)
        except (TypeError, RuntimeError) as error:  # pybind11's way to say that it returned nothing
            raise EngineError(f"{self.record.backend} does not start: {self._log.last()}") from error

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
        expect_for(info, str(self.trt.__version__), find_gpu(gpu).compute_capability)
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
