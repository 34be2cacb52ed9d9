"""What finds theta: the localisation part on the CPU, or a whole graph on a GPU. It survives forks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec
from stn_deploy.data import thumbnail_batch
from stn_deploy.errors import ClosedError, EngineError
from stn_deploy.runtime.engines import Engine, Localisation, Straightened
from stn_deploy.runtime.engines.ort import OrtLocaliser
from stn_deploy.runtime.forks import keep_for_ever

if TYPE_CHECKING:
    from stn_deploy.runtime.engines.device_batch import DeviceBatch

Images = Sequence[NDArray[np.uint8]]


class Network:
    """The network of one rectifier; any number of threads may share it.

    A fork of the process loads the localisation part anew at its first call, also where its parent has an
    engine: neither threads nor a GPU's memory come along.
    """

    def __init__(
        self, model: bytes | None, spec: RectifierSpec, *, threads: int = 1, engine: Engine | None = None
    ) -> None:
        """Load it.

        Args:
            model: the exported file; None where there is only an engine.
            threads: of the network on the CPU.
            engine: straightens instead of the CPU; `close` closes it.
        Raises:
            ArtifactError, MissingDependency: the file cannot be run.
        """
        self._model = model
        self._spec = spec
        self._threads = threads
        self._engine = engine
        self._localiser: OrtLocaliser | None = None
        self._open = True
        self._process = os.getpid()
        if engine is None:
            self._cpu()

    def expect_open(self) -> None:
        """Raises ClosedError: it was closed."""
        if not self._open:
            raise ClosedError("rectifier: expected an open one, got one that was closed; make a new one")
        if self._process != os.getpid():
            # Letting go of what the parent has would wait for threads that are not here.
            keep_for_ever((self._localiser, self._engine))
            self._localiser = self._engine = None
            self._process = os.getpid()

    def straighten(self, images: Images, sizes: NDArray[np.float32], *, rectified: bool) -> Straightened:
        """theta and score of images, and their samples where those are asked for and a whole graph runs.

        Args:
            images: n of (h, w, 3) uint8 BGR. sizes: (n, 2), height and width of each, pixels.
        """
        self.expect_open()
        if self._engine is not None:
            return self._engine.straighten(images, rectified=rectified)
        found = self._on_cpu(images, sizes)
        return Straightened(found, None, np.zeros(len(images), np.bool_))

    def on_device(self, images: Images, reason: str) -> DeviceBatch:
        """Samples, theta and score of images, where a GPU has them. ``reason``: why there is no GPU.

        Raises:
            EngineError: what straightens is the CPU.
        """
        self.expect_open()
        engine: Any = self._engine
        if engine is None:
            raise EngineError(f"device_batch: expected an engine on a GPU, got the CPU: {reason}")
        batch: DeviceBatch = engine.straighten_on_device(images)
        return batch

    def localise(self, images: Images, sizes: NDArray[np.float32]) -> Localisation:
        """theta and score of images that stand for others, whose heights and widths are ``sizes`` (n, 2)."""
        self.expect_open()
        return self._on_cpu(images, sizes)

    def _on_cpu(self, images: Images, sizes: NDArray[np.float32]) -> Localisation:
        spec = self._spec
        thumbnails = thumbnail_batch(
            images,
            spec.thumbnail_size,
            input_size=spec.input_size,
            align_corners=spec.thumbnail_align_corners,
        )
        return self._cpu().localise(thumbnails, sizes)

    def _cpu(self) -> OrtLocaliser:
        if self._localiser is None:
            if self._model is None:
                raise EngineError(
                    "regions, and forks of the process: expected the .onnx file, for they run on the CPU, "
                    "got only an engine; give the rectifier the .onnx file that it was built from"
                )
            self._localiser = OrtLocaliser(self._model, threads=self._threads)
        return self._localiser

    def close(self) -> None:
        """Let go of the network; calls that are running finish, later ones raise `ClosedError`."""
        if self._open:
            self.expect_open()
            self._open = False
            if self._engine is not None:
                self._engine.close()
            self._localiser = self._engine = None
