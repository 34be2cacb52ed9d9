"""ONNX Runtime on a GPU, fed by address: its CUDA and its TensorRT execution providers, with IO binding.

Its runs are not captured into CUDA graphs by us: what it computes on the CPU meanwhile, such as shapes, would
be frozen into the graph together with addresses of its own that it gives to others later. Its own way to
capture keeps a graph for each thread and each size until the session ends: its memory would not be bounded.
Of all operators in the exported graph GridSample was the last to run on CUDA, in ONNX Runtime 1.18; before,
it runs on the CPU. Unmeasured by this project on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stn_deploy.artifact import RectifierSpec
from stn_deploy.errors import ArtifactError, EngineError, MissingDependency
from stn_deploy.runtime.engines.buckets import Buckets
from stn_deploy.runtime.engines.device import Device

CPU, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))
_KINDS: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}
_INPUTS: dict[str, Any] = {"images": np.uint8, "extents": np.float32}
_OUTPUTS = ("rectified", "theta", "score")


def onnx_runtime() -> Any:
    """The package.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency.of("onnxruntime-gpu", "gpu") from error
    return onnxruntime


class OrtDeviceGraph:
    """The whole exported graph in ONNX Runtime; see `stn_deploy.runtime.engines.DeviceGraph`.

    ordered: whether it computes on the stream that it was given; ONNX Runtime before 1.18 does not, and is
        waited for instead.
    """

    capturable = False

    def __init__(
        self,
        artifact: bytes,
        spec: RectifierSpec,
        device: Device,
        stream: int,
        *,
        cache: Path | None = None,
        buckets: Buckets | None = None,
    ) -> None:
        """Load an exported file onto a GPU that is current; its runs go to one stream of it.

        Args:
            cache: folder in which TensorRT keeps what it builds; None for CUDA alone.
            buckets: sizes of batches; by default canvases up to 512 x 2048. What the file fixes is kept.
        Raises:
            ArtifactError: ONNX Runtime refuses the file.
            EngineError: the provider does not start. MissingDependency: onnxruntime is not installed.
        """
        self._device, self._stream = device, stream
        self._last: tuple[int, ...] = ()
        self._runtime = onnx_runtime()
        wanted = Buckets() if buckets is None else buckets
        found = {CUDA: _cuda_options(device, stream)}
        if cache is not None:
            found = {TENSORRT: _tensorrt_options(device, stream, wanted, cache), **found}
        self._session = _session(self._runtime, artifact, found)
        self.buckets = _fixed(wanted, self._session.get_inputs()[0].shape)
        self._options = self._runtime.RunOptions()
        said = self._session.get_provider_options()
        self.ordered = all(said.get(name, {}).get("user_compute_stream") == str(stream) for name in found)
        if self.ordered:
            self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        rows: dict[str, tuple[int, ...]] = {
            "rectified": (3, *spec.output_size),
            "theta": (spec.control_points, 2),
            "score": (),
        }
        kinds = {each.name: _KINDS[each.type] for each in self._session.get_outputs() if each.name in rows}
        self.outputs: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            name: (rows[name], kinds[name]) for name in _OUTPUTS
        }

    def bind(self, batch: int, canvas: tuple[int, int], addresses: Mapping[str, int]) -> OrtBound:
        """A binding for one size; see `stn_deploy.runtime.engines.DeviceGraph`."""
        binding = self._session.io_binding()
        shapes = {"images": (batch, *canvas, 3), "extents": (batch, 2)}
        for name, kind in _INPUTS.items():
            place = ("cuda", self._device.index, kind, shapes[name], addresses[name])
            binding.bind_input(name, *place)
        for name, (row, dtype) in self.outputs.items():
            place = ("cuda", self._device.index, dtype.type, (batch, *row), addresses[name])
            binding.bind_output(name, *place)
        return OrtBound(self, binding, (batch, *canvas))

    def run(self, binding: Any, size: tuple[int, ...]) -> None:
        """Queue one run of a size: images, height and width.

        Runs of one size follow each other without a wait. Before another size the last run is waited for:
        what ONNX Runtime computes of sizes, on the host, the GPU copies from memory that is written anew.
        """
        try:
            if not self.ordered or size != self._last:  # nor does a stream of its own know ours
                self._device.wait_stream(self._stream)
            self._last = size
            self._session.run_with_iobinding(binding, self._options)
        except EngineError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise EngineError(f"ONNX Runtime {self._runtime.__version__}: the run failed: {error}") from error

    def close(self) -> None:
        """Let go of the session and its memory."""
        self._session = None


class OrtBound:
    """Inputs and outputs at their addresses."""

    def __init__(self, graph: OrtDeviceGraph, binding: Any, size: tuple[int, ...]) -> None:
        """Take what `OrtDeviceGraph.bind` made."""
        self._graph, self._binding, self._size = graph, binding, size

    def enqueue(self) -> None:
        """Queue one run; see `stn_deploy.runtime.engines.Bound`."""
        self._graph.run(self._binding, self._size)

    def close(self) -> None:
        """Let go of the binding."""
        self._binding = None


def _session(onnxruntime: Any, artifact: bytes, providers: Mapping[str, Mapping[str, str]]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    missing = [name for name in providers if name not in onnxruntime.get_available_providers()]
    if missing:
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__}: expected {', '.join(missing)} in it, found none; "
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
    try:
        session = onnxruntime.InferenceSession(
            artifact, options, providers=[*((name, dict(found)) for name, found in providers.items()), CPU]
        )
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise ArtifactError(
            f"model: ONNX Runtime {onnxruntime.__version__} refuses it with {', '.join(providers)}: {error}"
        ) from error
    session.disable_fallback()  # to other providers, when a run fails
    unused = [name for name in providers if name not in session.get_providers()]
    if unused:
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__}: expected it to use {', '.join(unused)}, got only "
            f"{', '.join(session.get_providers())}; its CUDA, cuDNN or TensorRT is missing or does not fit"
        )
    return session


def _cuda_options(device: Device, stream: int) -> dict[str, str]:
    return {
        "device_id": str(device.index),
        "user_compute_stream": str(stream),
        "use_tf32": "0",  # float32 is computed in float32
        "cudnn_conv_algo_search": "HEURISTIC",  # the others try all of them out for each new size
        "arena_extend_strategy": "kSameAsRequested",
    }


def _tensorrt_options(device: Device, stream: int, buckets: Buckets, cache: Path) -> dict[str, str]:
    usual = tuple(
        min(max(low, side), high)
        for low, side, high in zip(buckets.smallest, (64, 256), buckets.largest, strict=True)
    )
    low, high = buckets.batch
    profile = {
        "min": (low, buckets.smallest),
        "opt": (min(max(low, 16), high), usual),
        "max": (high, buckets.largest),
    }
    return {
        "device_id": str(device.index),
        "user_compute_stream": str(stream),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        **{
            f"trt_profile_{name}_shapes": f"images:{count}x{size[0]}x{size[1]}x3,extents:{count}x2"
            for name, (count, size) in profile.items()
        },
    }


def _fixed(buckets: Buckets, shape: list[Any]) -> Buckets:
    """Buckets of a file: a batch or a side that it fixes is the only one."""
    count, *sides, _ = (each if isinstance(each, int) else None for each in shape)
    batch = (count, count) if count else buckets.batch
    smallest = tuple(side or low for side, low in zip(sides, buckets.smallest, strict=True))
    largest = tuple(side or high for side, high in zip(sides, buckets.largest, strict=True))
    least = batch[0] * largest[0] * largest[1] * 3
    return Buckets(
        smallest=(smallest[0], smallest[1]),
        largest=(largest[0], largest[1]),
        batch=batch,
        room=max(buckets.room, least),
    )
