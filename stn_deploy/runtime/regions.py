"""Regions of a page, straightened from the pixels of the page: each crop is sampled once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec
from stn_deploy.geometry import control_point_targets, inset_control_points, normalised_from_pixels
from stn_deploy.runtime.batches import LARGEST_BATCH, Loaded
from stn_deploy.runtime.cropping import LONGEST_SIDE, Cropper, too_long
from stn_deploy.runtime.engines import Localisation
from stn_deploy.runtime.polygons import Region
from stn_deploy.runtime.result import Rectified, Timings
from stn_deploy.runtime.sampling import reductions, sample_originals

Localise = Callable[[list[NDArray[np.uint8]], NDArray[np.float32]], Localisation]


class RegionStraightener:
    """Straightens regions with the network and the cropper of one rectifier."""

    def __init__(self, spec: RectifierSpec, threshold: float, cropper: Cropper, localise: Localise) -> None:
        """Take the parts of a rectifier."""
        self._threshold = threshold
        self._cropper = cropper
        self._localise = localise
        self._inset = spec.control_inset
        height, width = spec.thumbnail_size
        self._patch = spec.input_size or (2 * height, 2 * width)

    def __call__(self, page: Loaded, regions: Sequence[Region], *, timings: bool) -> list[Rectified]:
        """One result for each region.

        Raises:
            ImageError: a side of the page is over 32766 pixels.
        """
        height, width = page.pixels.shape[:2]
        if max(height, width) > LONGEST_SIDE:
            raise too_long(page.name, height, width)
        results: list[Rectified] = []
        for start in range(0, len(regions), LARGEST_BATCH):
            results += self._batch(page, regions[start : start + LARGEST_BATCH], timings=timings)
        return results

    def _batch(self, page: Loaded, regions: Sequence[Region], *, timings: bool) -> list[Rectified]:
        start = perf_counter()
        extent = page.pixels.shape[:2]
        sizes = np.array([region.size for region in regions], np.float32)
        found, score = self._localise(self._patches(page.pixels, regions, sizes), sizes)
        localised = perf_counter()
        helps = score >= self._threshold
        plain = inset_control_points(found.shape[1], self._inset)
        points = np.stack(
            [
                region(theta if refine or region.upright else plain)
                for region, theta, refine in zip(regions, found, helps, strict=True)
            ]
        )
        theta = np.asarray(normalised_from_pixels(points, extent), np.float32)
        bent = [index for index, region in enumerate(regions) if helps[index] or not region.upright]
        crops = iter(self._cropper.crops([page.pixels] * len(bent), theta[bent], points[bent]))
        images = {index: next(crops) for index in bent}
        share = 1e3 / len(regions)
        spent = Timings(
            decode=page.decode,
            localise=(localised - start) * share,
            sample=(perf_counter() - localised) * share,
        )
        results = []
        for index, region in enumerate(regions):
            image, origin = (images[index], (0, 0)) if index in images else _upright(page.pixels, region)
            results.append(
                Rectified(
                    image=image,
                    applied=index in images,
                    score=float(score[index]),
                    theta=theta[index],
                    source_size=(extent[0], extent[1]),
                    spline=self._cropper.spline,
                    origin=origin,
                    timings=spent if timings else None,
                )
            )
        return results

    def _patches(
        self, page: NDArray[np.uint8], regions: Sequence[Region], sizes: NDArray[np.float32]
    ) -> list[NDArray[np.uint8]]:
        """What the network's thumbnails are made of: each region at twice their size, pixel by pixel."""
        targets = control_point_targets(20)
        theta = normalised_from_pixels(np.stack([region(targets) for region in regions]), page.shape[:2])
        return sample_originals(
            [page] * len(regions),
            np.asarray(theta, np.float32),
            [self._patch] * len(regions),
            reduction=reductions(sizes[:, 0], self._patch[0]),
            exact=True,
        )


def _upright(page: NDArray[np.uint8], region: Region) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The pixels of the page under an upright region, and where they begin."""
    low = np.maximum(np.floor(region.box[0] + 1e-6), 0).astype(int)
    high = np.minimum(np.ceil(region.box[1] - 1e-6), page.shape[1::-1]).astype(int)
    return page[low[1] : high[1], low[0] : high[0]].copy(), (int(low[0]), int(low[1]))
