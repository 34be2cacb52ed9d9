"""ONNX Runtime: the localisation part for the split path; the full graph and its sampling part to compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.artifact import localisation_model
from stn_deploy.errors import ArtifactError, EngineError, MissingDependency
from stn_deploy.runtime.engines import FloatBatch, Localisation

if TYPE_CHECKING:
    import onnxruntime


CPU = "CPUExecutionProvider"
_EXACT: dict[str, dict[str, str]] = {"CUDAExecutionProvider": {"use_tf32": "0"}}
"""What makes a provider compute float32 in float32."""


def gpu_providers() -> list[str]:
    """The execution providers of the installed ONNX Runtime that run on an NVIDIA GPU and find one here."""
    here = _onnxruntime()
    built_in = [name for name in here.get_available_providers() if name in _EXACT]
    return [name for name in built_in if here.get_device() == "GPU" and _has_nvidia_gpu()]


def _has_nvidia_gpu() -> bool:
    """Whether the driver shows a device; a provider that finds none would silently compute on the CPU."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency.of("onnxruntime", "runtime") from error
    return onnxruntime


def _session(model: bytes, threads: int, provider: str = CPU) -> onnxruntime.InferenceSession:
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would burn the cores that the OCR behind us needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        providers = [(provider, _EXACT.get(provider, {})), *([CPU] if provider != CPU else [])]
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        mend = ""
        if "ThetaGridSample" in str(error):
            mend = "; its function was stripped, so that only an engine with the plugin runs it"
        raise ArtifactError(
            f"model: ONNX Runtime {onnxruntime.__version__} refuses it: {error}{mend}"
        ) from error
    if provider not in session.get_providers():
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__}: expected it to use {provider}, got only "
            f"{', '.join(session.get_providers())}; its CUDA and cuDNN are missing or do not fit"
        )
    return session


class OrtLocaliser:
    """The localisation part of an exported rectifier in ONNX Runtime."""

    def __init__(self, artifact: bytes, *, threads: int = 1) -> None:
        """Cut the localisation part out of an exported file and load it.

        Args:
            artifact: bytes of the exported file. threads: that run the network, at least 1.
        Raises:
            ArtifactError: the part cannot be cut out or run.
            MissingDependency: onnxruntime is not installed.
        """
        self._running = _session(localisation_model(artifact), threads)
        batch = self._running.get_inputs()[0].shape[0]
        self._frozen = batch if isinstance(batch, int) else None

    def localise(self, thumbnails: FloatBatch, sizes: FloatBatch) -> Localisation:
        """Find theta and score of a batch; see `stn_deploy.runtime.engines.Localiser`.

        A file whose batch is frozen runs as often as it takes, on images that are repeated to fill it.
        """
        if self._frozen is None or len(sizes) in (0, self._frozen):
            return self._run(thumbnails, sizes)
        count = -(-len(sizes) // self._frozen) * self._frozen
        places = np.arange(count).clip(max=len(sizes) - 1).reshape(-1, self._frozen)
        parts = [self._run(thumbnails[chosen], sizes[chosen]) for chosen in places]
        theta, score = (np.concatenate(each)[: len(sizes)] for each in zip(*parts, strict=True))
        return Localisation(theta, score)

    def _run(self, thumbnails: FloatBatch, sizes: FloatBatch) -> Localisation:
        theta, score = self._running.run(["theta", "score"], {"thumbnails": thumbnails, "sizes": sizes})
        return Localisation(np.asarray(theta), np.asarray(score))


class OrtFullGraph:
    """The whole exported graph in ONNX Runtime."""

    def __init__(self, artifact: bytes, *, threads: int = 1, provider: str = CPU) -> None:
        """Load an exported file; arguments and errors as for `OrtLocaliser`.

        Args:
            provider: execution provider of ONNX Runtime; what it cannot run, the CPU does.
        """
        self._running = _session(artifact, threads, provider)

    def run(self, images: NDArray[np.uint8], extents: FloatBatch) -> tuple[FloatBatch, Localisation]:
        """Straighten a batch; see `stn_deploy.runtime.engines.FullGraph`."""
        rectified, theta, score = self._running.run(
            ["rectified", "theta", "score"], {"images": images, "extents": extents}
        )
        return np.asarray(rectified), Localisation(np.asarray(theta), np.asarray(score))


class OrtSampler:
    """The sampling part of an exported rectifier in ONNX Runtime, for a theta from elsewhere."""

    def __init__(self, sampling: bytes, *, provider: str = CPU) -> None:
        """Load what `stn_deploy.artifact.sampling_model` cut out; errors as for `OrtLocaliser`."""
        self._running = _session(sampling, 1, provider)

    def sample(self, images: NDArray[np.uint8], extents: FloatBatch, theta: FloatBatch) -> FloatBatch:
        """rectified (n, 3, h, w) of a batch as in `OrtFullGraph.run`, for a theta (n, K, 2)."""
        (rectified,) = self._running.run(None, {"images": images, "extents": extents, "theta": theta})
        return np.asarray(rectified)
