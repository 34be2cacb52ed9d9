"""Decoded crops -> straightened crops, N = 64, 1 thread, beside the ASTER architecture in torch eager."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np
import torch
from _aster import Aster, rectify
from _record import arguments, dataset, keep, seconds, spread

from stn_deploy.data import open_dataset, thumbnail, thumbnail_batch
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier
from stn_deploy.runtime.engines.ort import OrtLocaliser

N, ROUNDS = 64, 40


def main() -> None:
    """Interleave the candidates round by round, so that a busy machine slows all of them alike."""
    options = arguments(__doc__)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with open_dataset(dataset(options, "icdar2015_test.zip")) as samples:
        crops = [sample.image() for sample in islice(samples, N)]
    aster = Aster().eval()
    always, fixed, gated = (
        Rectifier(threshold=0.0),
        Rectifier(threshold=0.0, size=(32, 100)),
        Rectifier(),
    )
    sizes = np.array([crop.shape[:2] for crop in crops], np.float32)
    shape = always.spec.thumbnail_size
    thumbnails = thumbnail_batch(crops, shape)
    localiser = OrtLocaliser(DEFAULT_MODEL.read_bytes(), threads=1)
    candidates = {
        "stn-deploy, natural width at height 48, all straightened": lambda: always(crops),
        "stn-deploy, 32x100, all straightened": lambda: fixed(crops),
        "stn-deploy, natural width, gated as shipped": lambda: gated(crops),
        "stn-deploy, thumbnails alone": lambda: [thumbnail(crop, shape) for crop in crops],
        "stn-deploy, localisation alone": lambda: localiser.localise(thumbnails, sizes),
        "ASTER architecture, torch eager, 32x100": lambda: rectify(aster, crops),
    }
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, work in candidates.items():
            rates[name] += [N / time for time in seconds(work, repeats=1, warm_up=1)]
    ours, *_, rival = candidates
    keep(
        "throughput",
        {
            "images_per_second": {name: spread(values) for name, values in rates.items()},
            "times_the_rival": spread([a / b for a, b in zip(rates[ours], rates[rival], strict=True)]),
            "n": N,
            "threads": 1,
            "mean_crop_pixels": float(sizes.prod(axis=1).mean()),
        },
    )


if __name__ == "__main__":
    main()
