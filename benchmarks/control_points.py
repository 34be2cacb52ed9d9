"""Distance of predicted control points from true ones, beside the crop's box and the rectangle of the ink."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from _lines import Image, Line, Points, ink_control_points, polygon_lines, quad_lines
from _record import arguments, dataset, keep

from stn_deploy.data import thumbnail_batch
from stn_deploy.export import rectifier_from_artifact
from stn_deploy.geometry import box_control_points, pixels_from_normalised
from stn_deploy.runtime import DEFAULT_MODEL

RESAMPLES = 1000
STATISTICS = {
    "mean": lambda errors: errors.mean(axis=-1),
    "median": lambda errors: np.median(errors, axis=-1),
    "p90": lambda errors: np.quantile(errors, 0.9, axis=-1),
}


def main() -> None:
    """Mean distance of the points of each crop in text heights; then over the crops of a set."""
    options = arguments(__doc__, limit="crops of each set")
    rectifier = rectifier_from_artifact(DEFAULT_MODEL)
    count, left_out = rectifier.spec.control_points, Counter[str]()
    sets: dict[str, Iterable[Line]] = {
        "icdar2015_test": quad_lines(dataset(options, "icdar2015_test.zip"), count),
        "curved_polygons": polygon_lines(dataset(options, "curved_polygons"), count, left_out),
    }
    result: dict[str, Any] = {}
    for name, lines in sets.items():
        errors: dict[str, list[float]] = {}
        bent = []
        for line in islice(lines, options.limit):
            bent.append(line.bent)
            for rival, points in candidates(rectifier, line.image, count).items():
                errors.setdefault(rival, []).append(distance(points, line.points))
        table = {rival: np.array(values) for rival, values in errors.items()}
        result[name] = summary(table)
        if any(bent):
            result[f"{name}, the bent ones"] = summary({rival: each[bent] for rival, each in table.items()})
    result["curved_polygons"]["left_out"] = dict(left_out)
    keep("control_points", {"sets": result}, trial=options.limit is not None)


@torch.inference_mode()
def candidates(rectifier: Any, image: Image, count: int) -> dict[str, Points]:
    """Control points in pixels, by who found them."""
    size = np.array([image.shape[:2]], np.float32)
    thumbnails = torch.from_numpy(thumbnail_batch([image], rectifier.spec.thumbnail_size))
    predicted = rectifier.predict_points(thumbnails, torch.from_numpy(size))[0].numpy().astype(np.float64)
    return {
        "stn-deploy": pixels_from_normalised(predicted, size[0]),
        "no rectifier (the crop's box)": box_control_points(image.shape[:2], count),
        "rectangle of the ink (Otsu)": ink_control_points(image, count),
    }


def distance(points: Points, truth: Points) -> float:
    """Mean distance of the points from the true ones, in true text heights."""
    top, bottom = np.split(truth, 2)
    height = np.linalg.norm(bottom - top, axis=1).mean()
    return float(np.linalg.norm(points - truth, axis=1).mean() / height)


def summary(errors: dict[str, Any]) -> dict[str, Any]:
    """Statistics over the crops with their 95 % bootstrap intervals; every rival with the same draws."""
    crops = len(next(iter(errors.values())))
    draws = np.random.default_rng(0).integers(crops, size=(RESAMPLES, crops))
    shown: dict[str, Any] = {}
    for rival, values in errors.items():
        shown[rival] = {}
        for name, statistic in STATISTICS.items():
            ends = np.quantile(statistic(values[draws]), [0.025, 0.975])
            shown[rival][name] = round(float(statistic(values)), 4)
            shown[rival][f"{name}_95"] = [round(float(end), 4) for end in ends]
    return {"crops": crops, "error_in_text_heights": shown}


if __name__ == "__main__":
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    main()
