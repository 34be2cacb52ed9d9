"""Lower precision, proven: how far it moves theta on crops, and no file where that is too far."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec, read_artifact
from stn_deploy.artifact.spec import PRECISIONS
from stn_deploy.errors import ArgumentError
from stn_deploy.export.crops import Crops
from stn_deploy.export.passes.float16 import float16
from stn_deploy.export.passes.int8 import PERCENTILE, int8
from stn_deploy.export.passes.rewrite import Pass, write_artifact
from stn_deploy.export.rounding import with_roundings
from stn_deploy.geometry import measure_text_lines, pixels_from_normalised
from stn_deploy.runtime.engines.ort import OrtLocaliser

LARGEST_ERROR: Mapping[str, float] = MappingProxyType({"float16": 0.01, "int8": 0.1})
"""Text heights, of 99 of 100 control points. INT8: the margin that the shipped rectifier leaves around the
text, past which letters are cut; measured are 0.04. float16 should be lost in it; measured is 0.001."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean, 99th percentile and largest of the distances of control points."""

    mean: float
    p99: float
    worst: float

    @classmethod
    def of(cls, distances: NDArray[Any]) -> Spread:
        """The spread of some distances; a NaN among them is in all three."""
        values = np.asarray(distances, np.float64)
        return cls(mean=float(values.mean()), p99=float(np.quantile(values, 0.99)), worst=float(values.max()))


@dataclass(frozen=True, kw_only=True)
class ThetaError:
    """How far a file of lower precision is from the one in float32, over all control points of some crops.

    pixels: of the source. heights: the same in heights of the text. flips: part of the crops that one of the
    two straightens and the other leaves. crops: their number.
    """

    pixels: Spread
    heights: Spread
    flips: float
    crops: int


def theta_error(reference: bytes, candidate: bytes, spec: RectifierSpec, crops: Crops) -> ThetaError:
    """Compare the localisation parts of two exported files in ONNX Runtime.

    Args:
        reference, candidate: bytes of the files. spec: of the reference. crops: at least one.
    Raises:
        ArtifactError: a file cannot be run.
    """
    (theta, score), (other, other_score) = (
        _localised(OrtLocaliser(data), crops) for data in (reference, candidate)
    )
    pixels, heights = theta_distances(theta, other, crops.sizes, spec)
    flips = (score >= spec.threshold) != (other_score >= spec.threshold)
    return ThetaError(
        pixels=Spread.of(pixels),
        heights=Spread.of(heights),
        flips=float(flips.mean()),
        crops=len(crops.sizes),
    )


def theta_distances(
    theta: NDArray[Any], other: NDArray[Any], sizes: NDArray[Any], spec: RectifierSpec
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Distances of control points, (n, K), in pixels of the source and in heights of the text.

    Args:
        theta: (n, K, 2), which also says how high the text is. other: to compare with it.
        sizes: (n, 2), height and width of the crops, pixels. spec: of the rectifier.
    """
    points = pixels_from_normalised(theta, sizes[:, None])
    distances = np.linalg.norm(pixels_from_normalised(other, sizes[:, None]) - points, axis=-1)
    # Control points inside the edges of the output measure a part of it; the margin is not text.
    text = measure_text_lines(points).height / (1 - spec.control_inset) / (1 + 2 * spec.margin)
    return distances, distances / np.maximum(text, 1e-3)[:, None]


def write_in_precision(
    source: Path, target: Path, precision: str, *, crops: Crops, largest_error: float | None = None
) -> tuple[RectifierSpec, ThetaError]:
    """Write a copy of an exported file in lower precision, if theta stays where it was.

    INT8 is calibrated on every other crop and measured on those between; float16 is measured on all, with
    every result rounded to half, as on a GPU.

    Args:
        source: an exported file in float32. target: of the copy; complete or absent, never half.
        precision: "float16" or "int8".
        crops: of the kind that will be rectified.
        largest_error: text heights within which 99 of 100 control points must stay; `LARGEST_ERROR` by
            default.
    Returns:
        the spec in the copy, and the error that was measured.
    Raises:
        ArgumentError: no such precision, a bound that is none, or an error beyond it; nothing is written.
        ArtifactError: the source is not an exported rectifier, or not one in float32.
        DatasetError: too few crops.
        OutputError: the copy cannot be written.
    """
    if precision not in LARGEST_ERROR:
        raise ArgumentError(f"precision: expected one of {', '.join(LARGEST_ERROR)}, got {precision!r}")
    bound = LARGEST_ERROR[precision] if largest_error is None else checked_bound(largest_error)
    data, spec = read_artifact(source)
    change: Pass = float16
    measured = crops
    spec = dataclasses.replace(spec, precision=precision)
    if precision == "int8":
        calibration, measured = crops.halves()
        change = partial(int8, crops=calibration)
        spec = dataclasses.replace(spec, recipe={**spec.recipe, "calibration": _described(calibration)})
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    changed = change(model)
    computed = with_roundings(changed) if precision == "float16" else changed
    error = theta_error(data, computed.SerializeToString(deterministic=True), spec, measured)
    if not error.heights.p99 <= bound:  # NaN, too
        raise ArgumentError(
            f"{precision}: expected 99 % of the control points within {bound:g} text heights of those in "
            f"float32, got {error.heights.p99:.3g} on {error.crops} crops ({error.pixels.p99:.3g} pixels; "
            f"worst {error.heights.worst:.3g} heights), {error.heights.p99 - bound:.3g} too far; nothing is "
            f"written. {_ADVICE[precision]}, or accept it with a larger bound (--max-theta-error)"
        )
    return write_artifact(changed, spec, target), error


_ADVICE = {
    "float16": "Keep float32",
    "int8": "Calibrate on more crops of the kind that will be rectified, take float16",
}


def checked_bound(value: float) -> float:
    """A bound of the error.

    Raises:
        ArgumentError: not above 0, or not finite.
    """
    if not 0 < value < np.inf:
        raise ArgumentError(f"largest error: expected text heights above 0, such as 0.1, got {value!r}")
    return value


def checked_precision(name: str) -> str:
    """The precision of a short name: fp32, fp16 and int8 are float32, float16 and int8.

    Raises:
        ArgumentError: no such precision.
    """
    long = dict(zip(("fp32", "fp16", "int8"), PRECISIONS, strict=True))
    if name not in long and name not in PRECISIONS:
        raise ArgumentError(f"--precision: expected one of {', '.join(long)}, got {name!r}")
    return long.get(name, name)


def _described(crops: Crops) -> dict[str, Any]:
    return {"crops": len(crops.sizes), "digest": crops.digest(), "percentile": PERCENTILE}


def _localised(localiser: OrtLocaliser, crops: Crops) -> tuple[NDArray[Any], NDArray[Any]]:
    """theta (n, K, 2) and score (n,)."""
    found = [localiser.localise(each.thumbnails, each.sizes) for each in crops.batches()]
    return (
        np.concatenate([each.theta for each in found]),
        np.concatenate([each.score for each in found]),
    )
