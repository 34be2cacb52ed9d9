"""Thetas that no network should find, and that no engine may choke on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec
from stn_deploy.geometry import control_point_targets


def hostile_thetas(spec: RectifierSpec, count: int, seed: int = 11) -> dict[str, NDArray[np.float32]]:
    """Thetas (count, K, 2) by name: folded, far outside the image, absurdly far, NaN and infinite.

    Of the last two a single coordinate is bad, in every other image; their neighbours are good.
    """
    rng = np.random.default_rng(seed)
    base = control_point_targets(spec.control_points) * 0.8 + [0.03, 0.1]
    gentle = base + rng.normal(scale=0.05, size=(count, *base.shape))
    thetas = {
        "folded": base + rng.normal(scale=3.0, size=(count, *base.shape)),
        "far outside": gentle * 1e3,
        "absurdly far": gentle * np.resize([1e20, -1e20], count)[:, None, None],
    }
    for name, value in (("NaN", np.nan), ("infinite", np.inf)):
        thetas[name] = gentle.copy()
        for image in range(0, count, 2):
            thetas[name][image, image % len(base), image // 2 % 2] = value
    return {name: theta.astype(np.float32) for name, theta in thetas.items()}
