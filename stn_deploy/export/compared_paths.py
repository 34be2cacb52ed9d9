"""The paths that `verify` compares: torch, a full graph in any engine, and the split CPU path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec, sampling_model
from stn_deploy.export.comparison import Outputs
from stn_deploy.export.crops import crops_of
from stn_deploy.export.graph import RectifierGraph
from stn_deploy.geometry import TextSpline
from stn_deploy.runtime.canvas import pack_canvas
from stn_deploy.runtime.engines import FullGraph
from stn_deploy.runtime.engines.ort import CPU, OrtFullGraph, OrtLocaliser, OrtSampler
from stn_deploy.runtime.sampling import sample_original

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Crops, and the same on a padded canvas (n, H, W, 3) with their extents (n, 2)."""

    crops: Sequence[Image]
    images: Image
    extents: Floats

    @classmethod
    def packed(cls, crops: Sequence[Image], canvas: tuple[int, int]) -> Batch:
        """Crops on a canvas of (height, width) pixels."""
        images, extents = pack_canvas(crops, canvas=canvas)
        return cls(crops=crops, images=images, extents=extents)

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.images.shape[1], self.images.shape[2]


class ComparedPath(Protocol):
    """One way from images to straightened crops."""

    name: str

    def run(self, batch: Batch) -> Outputs:
        """The crops of a batch."""


class SamplingPath(ComparedPath, Protocol):
    """One that can be entered behind the localisation."""

    def sample(self, batch: Batch, theta: Floats) -> Floats:
        """(n, h, w, 3) in [0, 255] for given thetas (n, K, 2)."""


class TorchPath:
    """The reference: the graph that was exported, run eagerly."""

    name = "torch"

    def __init__(self, graph: RectifierGraph, spec: RectifierSpec) -> None:
        self._graph, self._spec = graph, spec

    @torch.inference_mode()
    def run(self, batch: Batch) -> Outputs:
        """See `ComparedPath`."""
        found = self._graph(torch.from_numpy(batch.images), torch.from_numpy(batch.extents))
        return Outputs(
            rectified=_to_pixels(found.rectified.numpy(), self._spec),
            theta=found.theta.numpy(),
            score=found.score.numpy(),
        )

    @torch.inference_mode()
    def sample(self, batch: Batch, theta: Floats) -> Floats:
        """See `SamplingPath`."""
        inputs = (torch.from_numpy(each) for each in (batch.images, batch.extents, theta))
        return _to_pixels(self._graph.sample(*inputs).numpy(), self._spec)


class FullGraphPath:
    """The exported graph in an engine, from images to crops and nothing between."""

    def __init__(self, name: str, graph: FullGraph, spec: RectifierSpec) -> None:
        self.name = name
        self._graph, self._spec = graph, spec

    def run(self, batch: Batch) -> Outputs:
        """See `ComparedPath`."""
        rectified, (theta, score) = self._graph.run(batch.images, batch.extents)
        return Outputs(rectified=_to_pixels(rectified, self._spec), theta=theta, score=score)


class OrtPath:
    """The exported graph in ONNX Runtime, whole and from its sampling part on."""

    def __init__(self, name: str, artifact: bytes, spec: RectifierSpec, *, provider: str = CPU) -> None:
        """Load both; errors as for `OrtFullGraph`."""
        self.name = name
        self._spec = spec
        self._whole = FullGraphPath(name, OrtFullGraph(artifact, provider=provider), spec)
        self._sampler = OrtSampler(sampling_model(artifact), provider=provider)

    def run(self, batch: Batch) -> Outputs:
        """See `ComparedPath`."""
        return self._whole.run(batch)

    def sample(self, batch: Batch, theta: Floats) -> Floats:
        """See `SamplingPath`."""
        return _to_pixels(self._sampler.sample(batch.images, batch.extents, theta), self._spec)


class SplitPath:
    """What `stn_deploy.runtime.Rectifier` does, at the size of the full graph."""

    name = "ONNX Runtime + OpenCV, split"

    def __init__(self, localiser: OrtLocaliser, spec: RectifierSpec) -> None:
        self._localiser, self._spec = localiser, spec

    def run(self, batch: Batch) -> Outputs:
        """See `ComparedPath`."""
        theta, score = self._localiser.localise(*crops_of(batch.crops, self._spec))
        return Outputs(rectified=self.sample(batch, theta), theta=theta, score=score)

    def sample(self, batch: Batch, theta: Floats) -> Floats:
        """See `SamplingPath`."""
        spec, spline = self._spec, TextSpline.of(self._spec)
        sampled = [
            sample_original(image, points, spec.output_size, spline=spline, exact=True, fill=spec.fill)
            for image, points in zip(batch.crops, theta, strict=True)
        ]
        return np.stack(sampled).astype(np.float32)


def _to_pixels(rectified: NDArray[np.floating], spec: RectifierSpec) -> Floats:
    pixels = rectified.astype(np.float32) * spec.std + spec.mean
    return np.asarray(pixels.transpose(0, 2, 3, 1), np.float32)
