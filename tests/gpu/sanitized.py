"""Run under compute-sanitizer: every kernel that ships, on lengths that fill no block evenly.

Each array is an allocation of its own, so that whatever is read past its end is seen.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import cupy
import numpy as np

from stn_deploy.geometry.sampling import MODES, PADDINGS
from stn_deploy.plugins.launch import Lengths, Sampling, gpu_launcher, plan_launch
from stn_deploy.plugins.launch.plan import ARGUMENTS, ELEMENT_BYTES

N, C, K = 3, 40, 21
SPACE = {2: (1, 9, 13), 3: (3, 5, 7)}
OUTPUT = {2: (11, 13), 3: (3, 5, 11)}


def array(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0) -> Any:
    return cupy.asarray(rng.uniform(-scale, scale, shape).astype(np.float32))


def of_element(values: Any, element: str) -> Any:
    if element == "f32":
        return values
    return (
        values.astype(cupy.float16)
        if element == "f16"
        else (values.view(cupy.uint32) >> 16).astype(cupy.uint16)
    )


def launch(operation: str, sampling: Sampling) -> None:
    rng = np.random.default_rng(0)
    axes, points = sampling.dimensions, int(np.prod(OUTPUT[sampling.dimensions]))
    columns = axes + sampling.homogeneous
    given = operation.startswith("grid_sample")
    lengths = Lengths(N, C, *SPACE[axes], 0 if given else K, points)
    extents = array(rng, (N, axes)) * 0.3 + 0.7
    arrays = {
        "source": of_element(array(rng, (N, C, *SPACE[axes])), sampling.element),
        "basis": array(rng, (points, K), 0.4),
        "theta": array(rng, (N, K, columns), 2.0),
        "extents": extents,
        "grid": array(rng, (N, points, axes), 1.8),
        "gradient": of_element(array(rng, (N, C, points)), sampling.element),
        "output": of_element(cupy.zeros((N, C, points), "float32"), sampling.element),
        "source_gradient": cupy.zeros((N, C, *SPACE[axes]), "float32"),
        "theta_gradient": cupy.zeros((N, K, columns), "float32"),
        "grid_gradient": cupy.zeros((N, points, axes), "float32"),
    }
    before, _, after = ARGUMENTS[operation]
    addresses = [tuple(arrays[name].data.ptr for name in names) for names in (before, after)]
    gpu_launcher().launch(plan_launch(operation, sampling, lengths, *addresses), 0, 0)
    cupy.cuda.Device().synchronize()


def main() -> None:
    cupy.cuda.set_allocator(None)
    count = 0
    for operation, (dimensions, modes), element, last in product(
        ARGUMENTS, MODES.items(), ELEMENT_BYTES, (False, True)
    ):
        if last and operation.endswith("_backward"):
            continue
        for index, mode in enumerate(modes):
            # Paddings and switches take turns: each is seen with each kind of kernel.
            padding = PADDINGS[(index + count) % len(PADDINGS)]
            homogeneous = count % 2 == 1 and not operation.startswith("grid_sample")
            launch(operation, Sampling(dimensions, mode, padding, count % 3 == 1, homogeneous, element, last))
            count += 1
    print(f"launched {count} kernels")


if __name__ == "__main__":
    main()
