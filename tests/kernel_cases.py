"""Ways to call the kernels, and inputs for them, that several tests share."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels import BYTES, PADDING, Transform, Way, part
from tests.tolerances import SAMPLE

MODES = [(2, "nearest"), (2, "linear"), (2, "cubic"), (3, "nearest"), (3, "linear")]
CANVAS = {2: (9, 14), 3: (4, 7, 5)}
ROUNDING = {"f32": 0.0, "f16": 2.0**-11, "bf16": 2.0**-8}
"""Of a value that is rounded to a type: half of its last place, for its size."""

each_mode = pytest.mark.parametrize(("axes", "mode"), MODES)
each_padding = pytest.mark.parametrize("padding", PADDING)
each_element = pytest.mark.parametrize("element", BYTES)


def images(axes: int, c: int, *, n: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Canvases filled to different extents, NaN beyond, and the extents."""
    rng = np.random.default_rng(seed)
    canvas = CANVAS[axes]
    valid = np.array(
        [[length - index * (place + 1) % 3 for place, length in enumerate(canvas)] for index in range(n)]
    )
    source = np.full((n, c, *canvas), np.nan, np.float32)
    for image, shape in zip(source, valid, strict=True):
        image[part(shape)] = rng.normal(size=(c, *shape))
    return source, (valid / canvas).astype(np.float32)


def transform(
    axes: int, n: int, *, p: int = 37, k: int = 5, homogeneous: bool = False, seed: int = 1
) -> Transform:
    """Positions in and around U, of which no two images share one."""
    rng = np.random.default_rng(seed)
    basis = rng.uniform(-1, 1, (p, k)).astype(np.float32)
    theta = rng.normal(size=(n, k, axes)).astype(np.float32) * np.float32((3 / k) ** 0.5)
    if homogeneous:
        basis[:, -1] = 1
        divisor = rng.uniform(-0.15, 0.15, (n, k, 1)).astype(np.float32)
        divisor[:, -1] = 1.3
        theta = np.concatenate([theta, divisor], axis=2)
    return Transform(np.ascontiguousarray(basis), np.ascontiguousarray(theta))


def assert_close(way: Way, found: np.ndarray, expected: np.ndarray) -> None:
    """Right up to float32, and to the rounding of the type."""
    allowed = SAMPLE + ROUNDING[way.element] * np.abs(expected)
    assert not np.isnan(found).any()
    np.testing.assert_array_less(np.abs(found - expected), allowed + np.finfo(float).tiny)
