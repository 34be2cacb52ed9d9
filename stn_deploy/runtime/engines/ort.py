"""ONNX Runtime on the CPU: the localisation part for the split path, and the full graph for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stn_deploy.artifact import localisation_model
from stn_deploy.errors import ArtifactError, MissingDependency
from stn_deploy.runtime.engines import FloatBatch, Localisation

if TYPE_CHECKING:
    import onnxruntime


def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency.of("onnxruntime", "runtime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would burn the cores that the OCR behind us needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise ArtifactError(f"model: ONNX Runtime {onnxruntime.__version__} refuses it: {error}") from error


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

    def localise(self, thumbnails: FloatBatch, sizes: FloatBatch) -> Localisation:
        """Find theta and score of a batch; see `stn_deploy.runtime.engines.Localiser`."""
        theta, score = self._running.run(["theta", "score"], {"thumbnails": thumbnails, "sizes": sizes})
        return Localisation(np.asarray(theta), np.asarray(score))


class OrtFullGraph:
    """The whole exported graph in ONNX Runtime."""

    def __init__(self, artifact: bytes, *, threads: int = 1) -> None:
        """Load an exported file; arguments and errors as for `OrtLocaliser`."""
        self._running = _session(artifact, threads)

    def run(self, images: NDArray[np.uint8], extents: FloatBatch) -> tuple[FloatBatch, Localisation]:
        """Straighten a batch; see `stn_deploy.runtime.engines.FullGraph`."""
        rectified, theta, score = self._running.run(
            ["rectified", "theta", "score"], {"images": images, "extents": extents}
        )
        return np.asarray(rectified), Localisation(np.asarray(theta), np.asarray(score))
