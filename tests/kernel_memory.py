"""Calls kernels in a process in which every access to memory is looked at; see test_kernel_threads.py.

Each array has a block of memory of its own and of its size. Output buffers alone are longer, and
`tests.kernels.sample` looks at their ends.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from tests.emulation import SANITIZED
from tests.kernel_cases import images, transform
from tests.kernels import PADDING, Transform, Way, gradients, sample

WAYS = [(2, "linear"), (3, "linear")]
"""Of the tuned kernels with theta; compiling takes seconds for each."""


def main() -> None:
    """Every branch: few and many control points, groups of channels, layouts, positions outside."""
    assert SANITIZED
    for (axes, mode), padding, k, element in product(WAYS, PADDING, (5, 33), ("f32", "f16")):
        for c, channels_last in ((1, False), (3, False), (40, False), (40, True)):
            source, extents = images(axes, c, n=3)
            made = transform(axes, 3, p=140, k=k, homogeneous=k > 5)
            points = Transform(made.basis, made.theta * np.float32(2), extents)
            way = Way(axes, mode, padding, element=element, channels_last=channels_last)
            sample(way, source, points, blocks=4)
    for c, padding in product((3, 40), PADDING):
        source, extents = images(2, c, n=3)
        made = transform(2, 3, p=140)
        change = np.ones((3, c, 140), np.float32)
        gradients(Way(padding=padding), source, Transform(made.basis, made.theta, extents), change)
        grid = made.points(2).astype(np.float32) * np.float32(2)
        sample(Way(mode="cubic", padding=padding), source, grid)
    print("clean")


if __name__ == "__main__":
    main()
