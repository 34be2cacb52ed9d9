"""Straightened crops held against the exported full graph, and against exact sampling in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from _crops import Image, decoded
from _ours import OUTPUT
from _turns import Goal
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec, read_artifact, sampling_model
from stn_deploy.geometry import TextSpline, measure_text_lines, pixels_from_normalised, target_points
from stn_deploy.runtime import DEFAULT_MODEL, Rectified, Rectifier, pack_canvas
from stn_deploy.runtime.engines.ort import OrtSampler
from stn_deploy.runtime.sampling import supersampling

LIMIT, ROUNDING = 0.5, 0.01
"""Of 255. A value that is rounded moves by up to a half, and positions in float32 add a little."""
_BATCH = 64
_Reference = Callable[
    [Sequence[Image], Sequence[Rectified], Sequence[int], RectifierSpec], list[NDArray[np.floating]]
]


def quality(archive: Path, *, count: int) -> dict[str, Any]:
    """Largest differences, of 255, at the theta that the rectifier itself found.

    Crops whose pixels are means of several samples are apart: the graph takes one sample. They are rounded
    twice, each sample and their mean, so by up to one.
    """
    crops = decoded(archive, count)
    _, spec = read_artifact(DEFAULT_MODEL)
    assert spec.output_size == OUTPUT, "the graph straightens to another size"
    result: dict[str, Any] = {"opencv": cv2.__version__, "crops": len(crops)}
    for name, options in (("32x100", {"size": OUTPUT}), ("natural width", {})):
        straight = Rectifier(engine="cpu", threshold=0.0, **options)(crops)
        factors = [samples_across(*pair, spec) for pair in zip(crops, straight, strict=True)]
        exact = compared(crops, straight, factors, by_float64, spec, several=False)
        result[f"{name}, beside float64"] = exact
        several = compared(crops, straight, factors, by_float64, spec, several=True)
        result[f"{name}, means of several samples, beside float64"] = several
        if name == "32x100":
            graph = compared(crops, straight, factors, by_the_graph, spec, several=False)
            result[f"{name}, beside the full graph"] = graph
    return result


def compared(
    crops: Sequence[Image],
    straight: Sequence[Rectified],
    factors: Sequence[int],
    reference: _Reference,
    spec: RectifierSpec,
    *,
    several: bool,
) -> dict[str, Any]:
    """Of all values of those crops that have several samples a pixel, or of those that have not."""
    chosen = [index for index, factor in enumerate(factors) if (factor > 1) == several]
    if not chosen:
        return {"crops": 0, "left_out": len(crops)}
    results = [straight[index] for index in chosen]
    expected = reference(
        [crops[index] for index in chosen], results, [factors[index] for index in chosen], spec
    )
    differences = np.concatenate(
        [
            np.abs(result.image.astype(np.float64) - each).reshape(-1)
            for result, each in zip(results, expected, strict=True)
        ]
    )
    return {
        "largest": float(differences.max()),
        "beyond_rounding": float((differences > LIMIT + ROUNDING).mean()),
        "mean": float(differences.mean()),
        "crops": len(chosen),
        "left_out": len(crops) - len(chosen),
    }


def samples_across(crop: Image, result: Rectified, spec: RectifierSpec) -> int:
    """How many samples of the original a pixel of its straightened crop has along each axis."""
    text = measure_text_lines(pixels_from_normalised(result.theta[None], crop.shape[:2]))
    (factor,) = supersampling(text.height / (1 - spec.control_inset), result.image.shape[0])
    return factor


def by_the_graph(
    crops: Sequence[Image],
    results: Sequence[Rectified],
    factors: Sequence[int],  # noqa: ARG001
    spec: RectifierSpec,
) -> list[NDArray[np.floating]]:
    """The sampling part of the exported file, in ONNX Runtime, each crop on a canvas with others."""
    sampler = OrtSampler(sampling_model(DEFAULT_MODEL.read_bytes()))
    found: list[NDArray[np.floating]] = []
    for start in range(0, len(crops), _BATCH):
        theta = np.stack([result.theta for result in results[start : start + _BATCH]])
        rectified = sampler.sample(*pack_canvas(crops[start : start + _BATCH]), theta)
        found += list((rectified * spec.std + spec.mean).transpose(0, 2, 3, 1))
    return found


def by_float64(
    crops: Sequence[Image], results: Sequence[Rectified], factors: Sequence[int], spec: RectifierSpec
) -> list[NDArray[np.floating]]:
    """The spline evaluated at each sample, its four neighbours weighed, and their mean, in float64."""
    assert spec.fill is None, "outside the image is its border"
    spline = TextSpline.of(spec)
    found: list[NDArray[np.floating]] = []
    for crop, result, factor in zip(crops, results, factors, strict=True):
        height, width = result.image.shape[:2]
        samples = target_points((height * factor, width * factor))
        basis = spline.basis(len(result.theta), samples, (height, width))
        grid = basis @ result.theta.astype(np.float64)
        x, y = pixels_from_normalised(grid, crop.shape[:2]).T - 0.5
        values = bilinear(crop.astype(np.float64), x, y)
        found.append(values.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)))
    return found


def bilinear(
    image: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values (n, 3) at positions that count pixel centres; outside is the border."""
    height, width = image.shape[:2]
    left, top = np.floor(x), np.floor(y)
    columns = [np.clip(left + step, 0, width - 1).astype(int) for step in (0, 1)]
    rows = [np.clip(top + step, 0, height - 1).astype(int) for step in (0, 1)]
    right, lower = (x - left)[:, None], (y - top)[:, None]
    upper_line = image[rows[0], columns[0]] * (1 - right) + image[rows[0], columns[1]] * right
    lower_line = image[rows[1], columns[0]] * (1 - right) + image[rows[1], columns[1]] * right
    return np.asarray(upper_line * (1 - lower) + lower_line * lower)


def quality_goals(result: dict[str, Any]) -> list[Goal]:
    """Of crops with one sample a pixel; how far the others are is a remark."""
    goals = []
    for size, rival in (("32x100", "the full graph"), ("natural width", "float64")):
        found = result[f"{size}, beside {rival}"]
        several = result[f"{size}, means of several samples, beside float64"]
        remark = f"{found['crops']} crops, OpenCV {result['opencv']}"
        if several["crops"]:
            remark += (
                f"; {several['crops']} more, means of several samples: {several['largest']:.2f} from float64"
            )
        goals.append(
            Goal(
                work=f"quality: {size}, beside {rival}",
                goal=f"within {LIMIT}/255",
                found=f"{found['largest']:.3f} of 255",
                reached=found["largest"] <= LIMIT + ROUNDING,
                remark=remark,
            )
        )
    return goals
