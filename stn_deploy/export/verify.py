"""Is it the same everywhere? theta and pixels of torch, the full graph and the split CPU path, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec, read_artifact
from stn_deploy.data import thumbnail_batch
from stn_deploy.export.graph import RectifierGraph
from stn_deploy.export.reload import rectifier_from_artifact
from stn_deploy.geometry import TextSpline
from stn_deploy.runtime.canvas import pack_canvas
from stn_deploy.runtime.engines.ort import OrtFullGraph, OrtLocaliser
from stn_deploy.runtime.sampling import sample_original
from stn_deploy.training.checkpoint import load_checkpoint
from stn_deploy.training.flat import random_flat_text
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.scene import random_scene
from stn_deploy.training.warp import random_warp

THETA_TOLERANCE = 1e-4
"""Normalised units: a hundredth of a pixel on an image of 200 pixels."""
PIXEL_TOLERANCE = 1.0
"""Of 255. Half of it is the rounding of the split path to whole numbers."""

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Largest differences of one path against the reference on one batch.

    path: what was compared. batch: images. canvas: height and width, pixels. theta: normalised units.
    score: absolute. pixels: of 255.
    """

    path: str
    batch: int
    canvas: tuple[int, int]
    theta: float
    score: float
    pixels: float

    @property
    def passed(self) -> bool:
        """Within the tolerances; a NaN is not."""
        return self.theta <= THETA_TOLERANCE and self.score <= 1e-3 and self.pixels <= PIXEL_TOLERANCE


@dataclass(frozen=True, kw_only=True)
class _Outputs:
    """rectified: (n, h, w, 3) in [0, 255]. theta: (n, K, 2). score: (n,)."""

    rectified: NDArray[np.float32]
    theta: NDArray[np.float32]
    score: NDArray[np.float32]


def verification_images(count: int = 24, seed: int = 7) -> list[Image]:
    """Rendered crops of many sizes, the same on every machine (the font inside Pillow draws them)."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        flat = random_flat_text(rng, (FALLBACK,), 33)
        images.append(random_scene(rng, flat, random_warp(rng, flat.length), count=20).image)
    return images


def verify(
    model: Path, *, checkpoint: Path | None = None, images: Sequence[Image] | None = None
) -> list[Comparison]:
    """Compare all paths through an exported file with torch, alone and in batches, tight and padded.

    Args:
        model: the exported file.
        checkpoint: what it was exported from; by default torch takes the weights out of the file.
        images: crops to compare on; rendered ones by default.
    Returns:
        one comparison for each path and batch.
    Raises:
        ArtifactError: the file or the checkpoint cannot be used.
    """
    data, spec = read_artifact(model)
    rectifier = rectifier_from_artifact(model) if checkpoint is None else load_checkpoint(checkpoint)
    graph = RectifierGraph(rectifier, spec.output_size).eval()
    full, localiser = OrtFullGraph(data), OrtLocaliser(data)
    crops = list(verification_images() if images is None else images)
    comparisons = []
    for batch, padding in _batches(crops):
        canvas = np.array([image.shape[:2] for image in batch]).max(axis=0) + padding
        size = (int(canvas[0]), int(canvas[1]))
        images_, extents = pack_canvas(batch, canvas=size)
        reference = _torch(graph, spec, images_, extents)
        rectified, (theta, score) = full.run(images_, extents)
        graph_outputs = _Outputs(rectified=_to_pixels(rectified, spec), theta=theta, score=score)
        for path, outputs in (
            ("ONNX Runtime, full graph", graph_outputs),
            ("ONNX Runtime + OpenCV, split", _split(localiser, spec, batch)),
        ):
            comparisons.append(_compare(path, size, reference, outputs))
    return comparisons


def _batches(crops: list[Image]) -> list[tuple[list[Image], tuple[int, int]]]:
    """One image without padding, one padded, and ragged batches, exact and padded."""
    return [(crops[:1], (0, 0)), (crops[1:2], (13, 40)), (crops[:7], (0, 0)), (crops, (5, 27))]


def _to_pixels(rectified: NDArray[np.float32], spec: RectifierSpec) -> NDArray[np.float32]:
    return (rectified * spec.std + spec.mean).transpose(0, 2, 3, 1)


@torch.inference_mode()
def _torch(
    graph: RectifierGraph, spec: RectifierSpec, images: Image, extents: NDArray[np.float32]
) -> _Outputs:
    outputs = graph(torch.from_numpy(images), torch.from_numpy(extents))
    return _Outputs(
        rectified=_to_pixels(outputs.rectified.numpy(), spec),
        theta=outputs.theta.numpy(),
        score=outputs.score.numpy(),
    )


def _split(localiser: OrtLocaliser, spec: RectifierSpec, batch: list[Image]) -> _Outputs:
    """What `stn_deploy.runtime.Rectifier` does, at the size of the full graph."""
    sizes = np.array([image.shape[:2] for image in batch], np.float32)
    thumbnails = thumbnail_batch(
        batch,
        spec.thumbnail_size,
        input_size=spec.input_size,
        align_corners=spec.thumbnail_align_corners,
    )
    theta, score = localiser.localise(thumbnails, sizes)
    spline = TextSpline.of(spec)
    sampled = [
        sample_original(image, points, spec.output_size, spline=spline, exact=True, fill=spec.fill)
        for image, points in zip(batch, theta, strict=True)
    ]
    return _Outputs(rectified=np.stack(sampled).astype(np.float32), theta=theta, score=score)


def _compare(path: str, canvas: tuple[int, int], reference: _Outputs, outputs: _Outputs) -> Comparison:
    def largest(name: str) -> float:
        return float(np.abs(getattr(reference, name) - getattr(outputs, name)).max())

    return Comparison(
        path=path,
        batch=len(reference.score),
        canvas=canvas,
        theta=largest("theta"),
        score=largest("score"),
        pixels=largest("rectified"),
    )
