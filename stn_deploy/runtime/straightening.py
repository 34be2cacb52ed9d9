"""A batch of images in memory -> what the rectifier makes of each."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from stn_deploy.artifact import RectifierSpec
from stn_deploy.geometry import pixels_from_normalised
from stn_deploy.runtime.batches import Loaded
from stn_deploy.runtime.cropping import LONGEST_SIDE, Cropper, too_long
from stn_deploy.runtime.inputs import Failure
from stn_deploy.runtime.network import Network
from stn_deploy.runtime.result import Rectified, Timings


def straighten(
    loaded: Sequence[Loaded],
    network: Network,
    cropper: Cropper,
    spec: RectifierSpec,
    *,
    threshold: float,
    timings: bool,
) -> list[Rectified | Failure]:
    """Localise all, and sample those whose score reaches the threshold.

    Returns:
        for each image a `Rectified`, or an ImageError where OpenCV cannot sample from so long a side.
    """
    start = perf_counter()
    images = [each.pixels for each in loaded]
    sizes = np.array([image.shape[:2] for image in images], np.float32)
    (theta, score), samples, sampled = network.straighten(
        images, sizes, rectified=cropper.size == spec.output_size
    )
    localised = perf_counter()
    applied = (score >= threshold).tolist()
    chosen = [index for index, straightened in enumerate(applied) if straightened]
    outcomes: dict[int, Failure] = {}
    if sizes.max() > LONGEST_SIDE:
        outcomes = {
            index: too_long(loaded[index].name, *images[index].shape[:2])
            for index in chosen
            if sizes[index].max() > LONGEST_SIDE
        }
        chosen = [index for index in chosen if index not in outcomes]
    points = pixels_from_normalised(theta[chosen], sizes[chosen, None])
    ready = {place: samples[i] for place, i in enumerate(chosen) if sampled[i]} if samples is not None else {}
    crops = cropper.crops([images[index] for index in chosen], theta[chosen], points, ready=ready)
    found = [each.given for each in loaded]
    for index, crop in zip(chosen, crops, strict=True):
        found[index] = crop
    shares = ((localised - start) * 1e3 / len(loaded), (perf_counter() - localised) * 1e3 / len(loaded))
    return [
        outcomes[index]
        if index in outcomes
        else Rectified(
            image=image,
            applied=straightened,
            score=sure,
            theta=own,
            source_size=(one.pixels.shape[0], one.pixels.shape[1]),
            spline=cropper.spline,
            timings=Timings(decode=one.decode, localise=shares[0], sample=shares[1]) if timings else None,
        )
        for index, (one, image, straightened, sure, own) in enumerate(
            zip(loaded, found, applied, score.tolist(), theta, strict=True)
        )
    ]
