"""Is it the same everywhere? torch and every path through an exported file, compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stn_deploy.artifact import RectifierSpec, read_artifact
from stn_deploy.errors import ArgumentError, ArtifactError
from stn_deploy.export.compared_paths import (
    Batch,
    ComparedPath,
    FullGraphPath,
    Image,
    OrtPath,
    SamplingPath,
    SplitPath,
    TorchPath,
)
from stn_deploy.export.comparison import Comparison, Outputs, largest
from stn_deploy.export.graph import RectifierGraph
from stn_deploy.export.hostile import hostile_thetas
from stn_deploy.export.limits import Limits, batches
from stn_deploy.export.precision import theta_distances
from stn_deploy.export.reload import rectifier_from_artifact
from stn_deploy.runtime.engines.engine_file import open_engine
from stn_deploy.runtime.engines.ort import OrtLocaliser, gpu_providers
from stn_deploy.runtime.engines.trt import TrtFullGraph
from stn_deploy.training.checkpoint import load_checkpoint
from stn_deploy.training.flat import random_flat_text
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.scene import random_scene
from stn_deploy.training.warp import random_warp


def verification_images(count: int = 24, seed: int = 7) -> list[Image]:
    """Rendered crops of many sizes, the same on every machine (the font inside Pillow draws them)."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        flat = random_flat_text(rng, (FALLBACK,), 33)
        images.append(random_scene(rng, flat, random_warp(rng, flat.length), count=20).image)
    return images


def verify(
    model: Path,
    *,
    checkpoint: Path | None = None,
    images: Sequence[Image] | None = None,
    engines: Sequence[Path] = (),
) -> list[Comparison]:
    """Compare all paths through an exported file with torch, alone and in batches, tight and padded.

    The paths are the full graph in ONNX Runtime, on the CPU and on the GPU where it has one; the split CPU
    path; and built engines. Each is given crops, and, where it can be entered behind the localisation, thetas
    far outside the image, folded, NaN and infinite. A file of lower precision is compared with the network
    in float32 that its weights make.

    Args:
        model: the exported file; batch and canvas may be frozen.
        checkpoint: what it was exported from; by default torch takes the weights out of the file.
        images: crops to compare on, (h, w, 3) BGR uint8 each; rendered ones by default.
        engines: built from the model, that this machine can run; see
            `stn_deploy.runtime.engines.engine_file.engines_beside`.
    Returns:
        one comparison for each path and batch.
    Raises:
        ArtifactError: the file, the checkpoint or an engine cannot be used, or the checkpoint is of another
            number of control points.
        ArgumentError: no image.
        EngineError: an engine does not fit this machine, or fails.
    """
    data, spec = read_artifact(model)
    rectifier = rectifier_from_artifact(model) if checkpoint is None else load_checkpoint(checkpoint)
    if rectifier.spec.control_points != spec.control_points:
        raise ArtifactError(
            f"{checkpoint}: expected the checkpoint of {model}, with {spec.control_points} control points, "
            f"got one with {rectifier.spec.control_points}"
        )
    reference = TorchPath(RectifierGraph(rectifier, spec.output_size).eval(), spec)
    crops = verification_images() if images is None else list(images)
    if not crops:
        raise ArgumentError("images: expected at least one crop, got none")
    comparisons = []
    every = batches(crops, Limits.of_model(data))
    paths = _paths(data, spec)
    for batch in every:
        expected = reference.run(batch)
        comparisons += [_compare(path, batch, expected, reference, spec) for path in paths]
    comparisons += _compare_hostile(paths, every[-1], reference, spec)
    for file in engines:
        engine = open_engine(file)
        with TrtFullGraph(engine) as running:
            name = f"{engine.record.backend} {engine.record.version}, {file.name}"
            path = FullGraphPath(name, running, spec)
            for batch in batches(crops, Limits.of_engine(engine.record.profile)):
                comparisons.append(_compare(path, batch, reference.run(batch), reference, spec))
    return comparisons


def _paths(data: bytes, spec: RectifierSpec) -> list[SamplingPath]:
    paths: list[SamplingPath] = [
        OrtPath("ONNX Runtime, full graph", data, spec),
        SplitPath(OrtLocaliser(data), spec),
    ]
    for provider in gpu_providers():
        short = provider.removesuffix("ExecutionProvider")
        paths.append(OrtPath(f"ONNX Runtime, {short}", data, spec, provider=provider))
    return paths


def _compare(
    path: ComparedPath, batch: Batch, expected: Outputs, reference: TorchPath, spec: RectifierSpec
) -> Comparison:
    found = path.run(batch)
    same_theta = spec.precision == "float32"
    pixels = expected.rectified if same_theta else reference.sample(batch, found.theta)
    sizes = np.array([crop.shape[:2] for crop in batch.crops], np.float32)
    in_pixels, in_heights = theta_distances(expected.theta, found.theta, sizes, spec)
    return Comparison(
        path=path.name,
        batch=len(batch.crops),
        canvas=batch.canvas,
        theta=largest(expected.theta, found.theta),
        theta_pixels=float(in_pixels.max()),
        theta_heights=float(np.quantile(in_heights, 0.99)),
        score=largest(expected.score, found.score),
        pixels=largest(pixels, found.rectified),
        precision=spec.precision,
    )


def _compare_hostile(
    paths: Sequence[SamplingPath], batch: Batch, reference: TorchPath, spec: RectifierSpec
) -> list[Comparison]:
    """For each path the worst of all hostile thetas."""
    thetas = hostile_thetas(spec, len(batch.crops)).values()
    expected = [reference.sample(batch, theta) for theta in thetas]
    return [
        Comparison(
            path=path.name,
            batch=len(batch.crops),
            canvas=batch.canvas,
            # One NaN among the differences is the worst of them.
            pixels=float(
                np.max(
                    [
                        largest(one, path.sample(batch, theta))
                        for one, theta in zip(expected, thetas, strict=True)
                    ]
                )
            ),
            precision=spec.precision,
        )
        for path in paths
    ]
