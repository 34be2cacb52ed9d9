"""TensorRT's Python interface without TensorRT: what builder and runner call, with TensorRT's manners.

A network is parsed from the .onnx bytes by the rules of each version: which of function and plugin takes a
node, which bit says strongly typed. A plan holds the model, and an execution context runs it in ONNX Runtime,
when the stream of the fake GPU is waited for.
"""

from __future__ import annotations

import json
import pickle
import sys
import weakref
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import inliner

from tests.fake_cuda import FakeCuda
from tests.fake_python_plugins import FakePythonPlugins


def plugin_file(tensorrt: str = "10.9.0", *, architectures: str = "75-virtual", note: bytes = b"") -> bytes:
    """A plugin library for a version of TensorRT and for some GPUs."""
    said = {"format": 1, "tensorrt": tensorrt, "cuda": "13.0", "sources": "ab"}
    said["architectures"] = architectures
    return b"\x7fELF stn_deploy plugin " + json.dumps(said).encode() + b"\0" + note


PLUGIN_FILE = plugin_file()
PHASES = (("Building engine", None, 2), ("Timing", "Building engine", 3))


class _Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class _Registry:
    """Keeps one plugin of a name, the first, and loads libraries of its own major version."""

    def __init__(self, major: int) -> None:
        self._major = major
        self.all_creators: list[Any] = []
        self.error_recorder: Any = None

    def register_creator(self, creator: Any, namespace: str) -> bool:
        if self.get_creator(creator.name, creator.plugin_version, namespace) is None:
            self.all_creators.append(creator)
            return True
        return False

    def deregister_creator(self, creator: Any) -> bool:
        self.all_creators.remove(creator)
        return True

    def get_creator(self, name: str, version: str, namespace: str) -> Any:
        key = (name, version, namespace)
        found = [
            each
            for each in self.all_creators
            if (each.name, each.plugin_version, each.plugin_namespace) == key
        ]
        return found[0] if found else None

    def load_library(self, path: str) -> object | None:
        if f'"tensorrt": "{self._major}.'.encode() not in Path(path).read_bytes():
            return None
        creator = SimpleNamespace(name="ThetaGridSample", plugin_version="1", plugin_namespace="stn_deploy")
        return object() if self.register_creator(creator, "stn_deploy") else None


class _Layer:
    def __init__(self, name: str, kind: Any, **settings: Any) -> None:
        self.name, self.type = name, kind
        self.__dict__ |= settings


def _enum(name: str, *members: str, start: int = 0) -> Any:
    return IntEnum(name, list(members), start=start)


class FakeTensorRT(ModuleType):
    """Stands for the module ``tensorrt`` of a version.

    fails: messages that the builder logs before it returns nothing. cuda: the GPU of its runtime.
    refuses: what a plugin of a library says instead of being made.
    """

    def __init__(
        self,
        version: str = "10.13.3.9",
        *,
        cuda: FakeCuda | None = None,
        fails: tuple[str, ...] = (),
        refuses: str = "",
    ) -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.release = tuple(int(part) for part in version.split("."))
        self.cuda, self.fails, self.refuses = cuda, fails, refuses
        self.registry = _Registry(self.release[0])
        self.kernels: list[tuple[str, str]] = []
        self.configs: list[Any] = []
        self.networks: list[Any] = []
        self.runtimes: list[Any] = []
        self.LayerType = _enum("LayerType", "GRID_SAMPLE", "PLUGIN_V3", "UNARY")
        self.InterpolationMode = _enum("InterpolationMode", "NEAREST", "LINEAR", "CUBIC")
        self.SampleMode = _enum("SampleMode", "STRICT_BOUNDS", "WRAP", "CLAMP", "FILL", "REFLECT")
        self.BuilderFlag = _enum("BuilderFlag", "TF32", "VERSION_COMPATIBLE")
        self.ProfilingVerbosity = _enum("ProfilingVerbosity", "LAYER_NAMES_ONLY", "NONE", "DETAILED")
        self.MemoryPoolType = _enum("MemoryPoolType", "WORKSPACE")
        self.HardwareCompatibilityLevel = _enum("HardwareCompatibilityLevel", "NONE", "AMPERE_PLUS")
        # Bit 1 in TensorRT 10, bit 0 in TensorRT 11.
        bit = 1 if self.release < (11,) else 0
        self.NetworkDefinitionCreationFlag = _enum("NetworkFlag", "STRONGLY_TYPED", start=bit)
        self.ILogger = type("ILogger", (), {"Severity": _Severity, "__init__": lambda self: None})
        self.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda self: None})
        self.IGridSampleLayer = _Layer
        self.IErrorRecorder = type("IErrorRecorder", (), {"__init__": lambda self: None})
        strategies = ("STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED")
        self.ExecutionContextAllocationStrategy = _enum("ExecutionContextAllocationStrategy", *strategies)
        self.ErrorCodeTRT = _enum("ErrorCodeTRT", "SUCCESS", "UNSPECIFIED_ERROR")
        self.PluginFieldType = _enum("PluginFieldType", "INT32")
        if self.release >= (10, 9):
            self.QuickPluginCreationRequest = _enum("QuickPluginCreationRequest", "STRICT_AOT")
            self.plugin = FakePythonPlugins(self.registry)

    def get_plugin_registry(self) -> _Registry:
        return self.registry

    def nptype(self, kind: Any) -> Any:
        return kind

    def PluginField(self, name: str, data: Any, kind: Any) -> Any:
        return SimpleNamespace(name=name, data=data, type=kind)

    def Builder(self, logger: Any) -> Any:
        if self.cuda is None or not self.cuda.count:
            logger.log(_Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return _Builder(self, logger)

    def OnnxParser(self, network: Any, logger: Any) -> Any:
        return _Parser(self, network)

    def Runtime(self, logger: Any) -> Any:
        runtime = _Runtime(self, logger)
        self.runtimes.append(runtime)
        return runtime


class _Parser:
    def __init__(self, trt: FakeTensorRT, network: Any) -> None:
        self._trt, self._network, self._errors = trt, network, []  # type: ignore[var-annotated]

    def parse(self, data: bytes) -> bool:
        model = onnx.load_from_string(data)
        self._network.model = model
        functions = {function.name for function in model.functions}
        creators = {creator.name: creator for creator in self._trt.registry.all_creators}
        for index, node in enumerate(model.graph.node):
            if node.domain != "stn_deploy":
                continue
            prefers_plugin = self._trt.release >= (10, 7)
            if node.op_type in creators and (prefers_plugin or node.op_type not in functions):
                self._plugin(model, index, node, creators[node.op_type])
            elif node.op_type not in functions:
                self._errors.append(self._error(index, node))
        plugin = any(layer.type == self._trt.LayerType.PLUGIN_V3 for layer in self._network.layers)
        shown = model if plugin or self._errors else inliner.inline_local_functions(model)
        self._network.layers += [
            self._sample(node) for node in shown.graph.node if node.op_type == "GridSample"
        ]
        return not self._errors

    def _plugin(self, model: Any, index: int, node: Any, creator: Any) -> None:
        """A layer, or what went wrong; what it says of itself, TensorRT prints and forgets."""
        made = True
        if hasattr(creator, "make"):
            try:
                self._trt.kernels.append(creator.make(model, node))
            except Exception:  # noqa: BLE001, as the bindings of TensorRT do
                made = False
        elif self._trt.refuses:
            made = False
            if self._trt.registry.error_recorder is not None:
                code = self._trt.ErrorCodeTRT.UNSPECIFIED_ERROR
                self._trt.registry.error_recorder.report_error(code, self._trt.refuses)
        if made:
            self._network.layers.append(_Layer(node.name, self._trt.LayerType.PLUGIN_V3))
        else:
            self._errors.append(self._error(index, node, "Could not create the plugin."))

    def _sample(self, node: Any) -> _Layer:
        values = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        modes, samples = self._trt.InterpolationMode, self._trt.SampleMode
        mode = {b"bilinear": modes.LINEAR, b"bicubic": modes.CUBIC}.get(values["mode"], modes.NEAREST)
        sample = {b"border": samples.CLAMP, b"zeros": samples.FILL}[values["padding_mode"]]
        settings = {"interpolation_mode": mode, "sample_mode": sample}
        kind = self._trt.LayerType.GRID_SAMPLE
        return _Layer(node.name, kind, align_corners=bool(values.get("align_corners")), **settings)

    def _error(self, index: int, node: Any, text: str = "") -> Any:
        return SimpleNamespace(
            node=lambda: index,
            node_name=lambda: node.name,
            node_operator=lambda: node.op_type,
            desc=lambda: text or f"Plugin not found: {node.op_type}",
        )

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return self._errors[index]


class _Config:
    def __init__(self, trt: FakeTensorRT) -> None:
        self._trt = trt
        self.flags = {trt.BuilderFlag.TF32}  # on by default, as in TensorRT
        self.pools: dict[Any, int] = {}
        self.profiles: list[Any] = []
        self.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE
        self.progress_monitor: Any = None
        self.profiling_verbosity: Any = None
        self.cache: bytes | None = None

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.pools[pool] = size

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> Any:
        return SimpleNamespace(data=data or f"cache of {self._trt.__version__}".encode())

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if not ignore_mismatch and not cache.data.startswith(f"cache of {self._trt.__version__}".encode()):
            return False
        self.cache = cache.data
        return True

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: (self.cache or b"") + b", and more")


class _Builder:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def create_network(self, flags: int) -> Any:
        network = _Network(flags)
        self._trt.networks.append(network)
        return network

    def create_builder_config(self) -> _Config:
        config = _Config(self._trt)
        self._trt.configs.append(config)
        return config

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(shapes=shapes, set_shape=lambda name, *sizes: shapes.update({name: sizes}))

    def build_serialized_network(self, network: Any, config: _Config) -> Any:
        monitor = config.progress_monitor
        going = True
        for name, parent, steps in PHASES:
            monitor.phase_start(name, parent, steps)
            for step in range(steps):
                going = going and monitor.step_complete(name, step)
        for name, _, _ in reversed(PHASES):
            monitor.phase_finish(name)
        for message in self._trt.fails:
            self._logger.log(_Severity.ERROR, message)
        if self._trt.fails or not going:
            return None
        return pickle.dumps((self._trt.__version__, network.model.SerializeToString()))


class _Network:
    def __init__(self, flags: int) -> None:
        self.flags, self.layers, self.model = flags, [], None  # type: ignore[var-annotated]

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def get_layer(self, index: int) -> Any:
        return self.layers[index]


class _Runtime:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        self._trt, self._logger = trt, logger
        self.engine_host_code_allowed = False

    def get_plugin_registry(self) -> _Registry:
        return self._trt.registry

    def deserialize_cuda_engine(self, data: bytes) -> Any:
        version, model = pickle.loads(data)
        if version != self._trt.__version__ and not self.engine_host_code_allowed:
            self._logger.log(_Severity.ERROR, f"expecting library version {version}")
            return None
        return _Engine(model, self._trt.cuda)


class _Engine:
    device_memory_size_v2 = 4000

    def __init__(self, model: bytes, cuda: FakeCuda | None) -> None:
        import onnxruntime

        assert cuda is not None
        self._cuda = cuda
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        self._outputs = {each.name: (each, kinds[each.type]) for each in self._session.get_outputs()}

    def get_tensor_dtype(self, name: str) -> Any:
        return self._outputs[name][1]

    def create_execution_context(self, strategy: Any = 0) -> _Context:
        outputs = {name: each for name, (each, _) in self._outputs.items()}
        scratch = None if strategy else b""  # that it has of its own
        return _Context(self._session, outputs, self._cuda, scratch)


class _Context:
    def __init__(self, session: Any, outputs: dict[str, Any], cuda: FakeCuda, scratch: Any = b"") -> None:
        self._session, self._outputs, self._cuda, self._scratch = session, outputs, cuda, scratch
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self.breaks: bool | str = False
        self.error_recorder: Any = None

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch = self._shapes["images"][0]
        return tuple(batch if isinstance(side, str) else side for side in self._outputs[name].shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address in self._cuda.memory, f"{name}: no memory there"
        self._addresses[name] = address
        return True

    def set_device_memory(self, address: int, size: int) -> None:
        assert size == _Engine.device_memory_size_v2
        self._scratch = address

    def execute_async_v3(self, stream: int) -> bool:
        assert self._scratch is not None, "a context that was given no memory"
        if self.breaks:
            if isinstance(self.breaks, str):
                self.error_recorder.report_error(3, self.breaks)
            return False
        addresses, shapes = dict(self._addresses), dict(self._shapes)
        alive = weakref.ref(self)

        def work() -> None:
            context = alive()
            assert context is not None, "the context went while its run was queued"
            context._execute(addresses, shapes)

        self._cuda.streams[stream].append(work)
        return True

    def _execute(self, addresses: dict[str, int], shapes: dict[str, tuple[int, ...]]) -> None:
        if self._scratch:
            self._cuda.write(self._scratch, np.full(_Engine.device_memory_size_v2, 0xCD, np.uint8))
        feeds = {}
        for name, kind in (("images", np.uint8), ("extents", np.float32)):
            size = int(np.prod(shapes[name])) * np.dtype(kind).itemsize
            feeds[name] = self._cuda.read(addresses[name], size).view(kind).reshape(shapes[name])
        for name, values in zip(self._outputs, self._session.run(None, feeds), strict=True):
            self._cuda.write(addresses[name], np.ascontiguousarray(values).view(np.uint8).reshape(-1))


def install_library(monkeypatch: pytest.MonkeyPatch, trt: FakeTensorRT) -> FakeTensorRT:
    """Let ``import tensorrt`` find it, and ``tensorrt.plugin`` where it has that."""
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setitem(sys.modules, "tensorrt.plugin", getattr(trt, "plugin", None))
    return trt


def with_version(monkeypatch: pytest.MonkeyPatch, version: str, cuda: FakeCuda) -> FakeTensorRT:
    """TensorRT of a version, installed."""
    return install_library(monkeypatch, FakeTensorRT(version, cuda=cuda))


def left_in(folder: Path) -> set[str]:
    """Names of what a build left in a folder."""
    return {path.name for path in folder.iterdir()} - {"libplugin.so"}
