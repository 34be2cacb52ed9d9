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
from stn_deploy.runtime.sampling import reductions

LIMIT, ROUNDING = 0.5, 0.01
"""Of 255. A value that is rounded moves by up to a half, and positions in float32 add a little."""
_BATCH = 64
_Reference = Callable[
    [Sequence[Image], Sequence[Rectified], Sequence[int], RectifierSpec], list[NDArray[np.floating]]
]


def quality(archive: Path, *, count: int) -> dict[str, Any]:
    """Largest differences, of 255, at the theta that the rectifier itself found.

    Crops of reduced images are apart: the graph samples the image as it is. They are rounded twice, the means
    of the pixels and the sample, so by up to one.
    """
    crops = decoded(archive, count)
    _, spec = read_artifact(DEFAULT_MODEL)
    assert spec.output_size == OUTPUT, "the graph straightens to another size"
    result: dict[str, Any] = {"opencv": cv2.__version__, "crops": len(crops)}
    for name, options in (("32x100", {"size": OUTPUT}), ("natural width", {})):
        straight = Rectifier(engine="cpu", threshold=0.0, **options)(crops)
        factors = [reduction_of(*pair, spec) for pair in zip(crops, straight, strict=True)]
        exact = compared(crops, straight, factors, by_float64, spec, reduced=False)
        result[f"{name}, beside float64"] = exact
        reduced = compared(crops, straight, factors, by_float64, spec, reduced=True)
        result[f"{name}, of reduced images, beside float64"] = reduced
        if name == "32x100":
            graph = compared(crops, straight, factors, by_the_graph, spec, reduced=False)
            result[f"{name}, beside the full graph"] = graph
    return result


def compared(
    crops: Sequence[Image],
    straight: Sequence[Rectified],
    factors: Sequence[int],
    reference: _Reference,
    spec: RectifierSpec,
    *,
    reduced: bool,
) -> dict[str, Any]:
    """Of all values of those crops whose image was reduced first, or of the others."""
    chosen = [index for index, factor in enumerate(factors) if (factor > 1) == reduced]
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


def reduction_of(crop: Image, result: Rectified, spec: RectifierSpec) -> int:
    """How many pixels of the original, along each axis, are sampled as one."""
    text = measure_text_lines(pixels_from_normalised(result.theta[None], crop.shape[:2]))
    (factor,) = reductions(text.height / (1 - spec.control_inset), result.image.shape[0])
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
    """Means of the image where it is reduced, and their four neighbours weighed at the spline, in float64."""
    assert spec.fill is None, "outside the image is its border"
    spline = TextSpline.of(spec)
    found: list[NDArray[np.floating]] = []
    for crop, result, factor in zip(crops, results, factors, strict=True):
        size = result.image.shape[:2]
        grid = spline.pixel_basis(len(result.theta), size) @ result.theta.astype(np.float64)
        x, y = pixels_from_normalised(grid, crop.shape[:2]).T / factor - 0.5
        found.append(bilinear(means(crop, factor), x, y).reshape(*size, 3))
    return found


def means(image: Image, factor: int) -> NDArray[np.float64]:
    """Of ``factor`` x ``factor`` pixels; the border is repeated to whole ones."""
    height, width = image.shape[:2]
    whole = np.pad(
        image.astype(np.float64), ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge"
    )
    rows, columns = whole.shape[0] // factor, whole.shape[1] // factor
    return np.asarray(whole.reshape(rows, factor, columns, factor, 3).mean(axis=(1, 3)))


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
    """Of crops of images as they are; how far the others are is a remark."""
    goals = []
    for size, rival in (("32x100", "the full graph"), ("natural width", "float64")):
        found = result[f"{size}, beside {rival}"]
        reduced = result[f"{size}, of reduced images, beside float64"]
        remark = f"{found['crops']} crops, OpenCV {result['opencv']}"
        if reduced["crops"]:
            remark += f"; {reduced['crops']} more, of reduced images: {reduced['largest']:.2f} from float64"
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
