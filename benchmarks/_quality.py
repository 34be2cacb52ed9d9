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
from stn_deploy.geometry import TextSpline, measure_text_lines, pixels_from_normalised
from stn_deploy.runtime import DEFAULT_MODEL, Rectified, Rectifier, pack_canvas
from stn_deploy.runtime.engines.ort import OrtSampler
from stn_deploy.runtime.sampling import supersampling

LIMIT, ROUNDING = 0.5, 0.002
"""Of 255. A value that is rounded moves by up to a half; the second is what float32 makes of 255."""
_BATCH = 64
_Reference = Callable[[Sequence[Image], Sequence[Rectified], RectifierSpec], list[NDArray[np.floating]]]


def quality(archive: Path, *, count: int) -> dict[str, Any]:
    """Largest differences, of 255, at the theta that the rectifier itself found.

    Crops whose pixels are means of several samples are left out, and counted: the graph takes one sample.
    """
    crops = decoded(archive, count)
    _, spec = read_artifact(DEFAULT_MODEL)
    assert spec.output_size == OUTPUT, "the graph straightens to another size"
    cases: dict[str, tuple[dict[str, Any], _Reference]] = {
        "32x100, beside the full graph": ({"size": OUTPUT}, by_the_graph),
        "32x100, beside float64": ({"size": OUTPUT}, by_float64),
        "natural width, beside float64": ({}, by_float64),
    }
    return {
        "opencv": cv2.__version__,
        "crops": len(crops),
        **{
            name: compared(crops, Rectifier(threshold=0.0, **options), reference, spec)
            for name, (options, reference) in cases.items()
        },
    }


def compared(
    crops: Sequence[Image], rectifier: Rectifier, reference: _Reference, spec: RectifierSpec
) -> dict[str, Any]:
    """Of all values of all crops: the largest difference, and the share of those that are past rounding."""
    straight = rectifier(crops)
    pairs = [pair for pair in zip(crops, straight, strict=True) if one_sample(*pair, spec)]
    kept, results = [crop for crop, _ in pairs], [result for _, result in pairs]
    expected = reference(kept, results, spec)
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
        "crops": len(results),
        "left_out": len(crops) - len(results),
    }


def one_sample(crop: Image, result: Rectified, spec: RectifierSpec) -> bool:
    """Whether each pixel of a straightened crop is one sample of the original."""
    text = measure_text_lines(pixels_from_normalised(result.theta[None], crop.shape[:2]))
    (factor,) = supersampling(text.height / (1 - spec.control_inset), result.image.shape[0])
    return factor == 1


def by_the_graph(
    crops: Sequence[Image], results: Sequence[Rectified], spec: RectifierSpec
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
    crops: Sequence[Image], results: Sequence[Rectified], spec: RectifierSpec
) -> list[NDArray[np.floating]]:
    """The spline evaluated at each pixel and its four neighbours weighed, in float64."""
    assert spec.fill is None, "outside the image is its border"
    spline = TextSpline.of(spec)
    found: list[NDArray[np.floating]] = []
    for crop, result in zip(crops, results, strict=True):
        size = result.image.shape[:2]
        grid = spline.pixel_basis(len(result.theta), size) @ result.theta.astype(np.float64)
        x, y = pixels_from_normalised(grid, crop.shape[:2]).T - 0.5
        found.append(bilinear(crop.astype(np.float64), x, y).reshape(*size, 3))
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
    goals = []
    for name in ("32x100, beside the full graph", "natural width, beside float64"):
        found = result[name]
        goals.append(
            Goal(
                work=f"quality: {name}",
                goal=f"within {LIMIT}/255",
                found=f"{found['largest']:.3f} of 255",
                reached=found["largest"] <= LIMIT + ROUNDING,
                remark=f"{found['beyond_rounding']:.4%} of the values are farther off; OpenCV "
                f"{result['opencv']}; {found['crops']} crops, without {found['left_out']} that average "
                "several samples",
            )
        )
    return goals
