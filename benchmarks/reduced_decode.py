"""Whether large JPEG files should be decoded at a reduced scale for the network: they should not.

libjpeg gives a half, a quarter or an eighth of the scale for less time, and pixels in full are needed only of
what is straightened. Measured: the share of that time, what it comes to with the share of files that are left
alone, and how far control points and the gate move, for the network sees a smoother thumbnail.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import thread_time
from typing import Any

import cv2
import numpy as np
from _record import arguments, dataset, keep
from numpy.typing import NDArray

from stn_deploy.data import open_dataset, read_image, thumbnail_batch
from stn_deploy.geometry import measure_text_lines, pixels_from_normalised
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier
from stn_deploy.runtime.engines.ort import OrtLocaliser

Image = NDArray[np.uint8]
SCALES = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}
LATTICE = 2
"""The reduced picture has at least so many pixels for each sample of the thumbnail, along each axis."""
QUALITY, GRAIN = 92, 6.0


def main() -> None:
    """Real regions of photographs, and crops enlarged to the height of close-ups, with grain and without."""
    options = arguments(__doc__)
    cv2.setNumThreads(1)
    icdar, iiit = dataset(options, "icdar2015_test.zip"), dataset(options, "iiit5k_test.zip")
    sets = {
        "regions of photographs": regions(dataset(options, "curved_polygons")),
        "icdar2015_test at height 300, grain": enlarged(icdar, 300, 300, GRAIN),
        "icdar2015_test at height 1200, grain": enlarged(icdar, 60, 1200, GRAIN),
        "iiit5k_test at height 300": enlarged(iiit, 300, 300, 0.0),
    }
    keep("reduced_decode", {name: study(images) for name, images in sets.items()})


def regions(folder: Path) -> Iterator[Image]:
    """The box of each polygon, with the margin of a detector."""
    for path in sorted(folder.glob("*.jpg")):
        page = read_image(path)
        for line in path.with_suffix(".txt").read_text().splitlines():
            values = [float(value) for value in line.split(",") if value.replace(".", "").isdigit()]
            points = np.reshape(values[: len(values) // 2 * 2], (-1, 2))
            margin = 0.15 * np.ptp(points, axis=0).min()
            left, top = np.maximum(points.min(0) - margin, 0).astype(int)
            right, bottom = (points.max(0) + margin).astype(int)
            yield page[top:bottom, left:right]


def enlarged(path: Path, count: int, height: int, grain: float) -> Iterator[Image]:
    """Every fifth crop of a set, at a height; as sharp as it was."""
    rng = np.random.default_rng(0)
    with open_dataset(path) as samples:
        for sample in islice(samples, 0, 5 * count, 5):
            image = sample.image()
            width = max(round(image.shape[1] * height / image.shape[0]), 2)
            large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
            noise = rng.normal(0, grain, large.shape) if grain else 0
            yield np.clip(large + noise, 0, 255).astype(np.uint8)


def study(images: Iterator[Image]) -> dict[str, Any]:
    """Both ways for each image that is large enough."""
    rectifier, localiser = Rectifier(), OrtLocaliser(DEFAULT_MODEL.read_bytes())
    spec = rectifier.spec
    moved, flips, untouched, times, seen = list[float](), 0, 0, np.zeros(2), 0
    for image in images:
        seen += 1
        size = np.array([image.shape[:2]], np.float32)
        scale = _scale(image.shape, spec.thumbnail_size)
        if scale is None:
            continue
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        full, reduced = _decoded(data, cv2.IMREAD_UNCHANGED), _decoded(data, SCALES[scale])
        times += [full[1], reduced[1]]
        found = [
            localiser.localise(thumbnail_batch([pixels], spec.thumbnail_size), size)
            for pixels in (full[0], reduced[0])
        ]
        points = [pixels_from_normalised(each.theta, size[:, None]) for each in found]
        distance = np.linalg.norm(points[0] - points[1], axis=-1).ravel()
        moved += (distance / measure_text_lines(points[0]).height[0]).tolist()
        alone = [bool(each.score[0] < spec.threshold) for each in found]
        flips += alone[0] != alone[1]
        untouched += alone[0]
    count = len(moved) // spec.control_points
    return {
        "images": seen,
        "large_enough": count,
        "left_alone": untouched / count,
        "time_of_a_reduced_decode": times[1] / times[0],
        "time_with_full_decodes_where_straightened": times[1] / times[0] + 1 - untouched / count,
        "moved_text_heights": {"mean": float(np.mean(moved)), "p99": float(np.percentile(moved, 99))},
        "straightened_by_one_alone": flips / count,
    }


def _scale(shape: tuple[int, ...], thumbnail: tuple[int, int]) -> int | None:
    fits = [
        scale
        for scale in SCALES
        if all(
            -(-length // scale) >= LATTICE * 2 * samples
            for length, samples in zip(shape[:2], thumbnail, strict=True)
        )
    ]
    return max(fits, default=None)


def _decoded(data: Image, flags: int) -> tuple[Image, float]:
    """Pixels, and the least of three times."""
    times = []
    for _ in range(3):
        started = thread_time()
        pixels = cv2.imdecode(data, flags)
        times.append(thread_time() - started)
    return np.asarray(pixels, np.uint8), min(times)


if __name__ == "__main__":
    main()
