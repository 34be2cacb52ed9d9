"""What the fused kernels are asked by every way to them, and what they should answer; needs no ONNX.

Each batch holds images that fill their canvases to different extents, with NaN beyond; an image whose theta
is infinite; and one whose positions are far away.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from stn_deploy.geometry.sampling import FAR, MODES, PADDINGS
from stn_deploy.stn import reference_gradients, reference_sample
from tests.tolerances import SAMPLE

SIZES = {2: ((7, 12), (5, 4)), 3: ((4, 7, 5), (3, 2, 5))}
"""Of the canvas and of V."""
COUNT = 5
ROUNDING = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Of a value that is rounded to a type: half of its last place, for its size."""
GRADIENT = 1e-4
"""Of the largest gradient: float32 sums of some hundred terms, in any order."""


@dataclass(frozen=True)
class Case:
    """One way to sample."""

    dimensions: int
    mode: str
    padding: str
    align_corners: bool
    homogeneous: bool

    def __str__(self) -> str:
        corners, divided = "corners" * self.align_corners, "homogeneous" * self.homogeneous
        return " ".join(filter(None, (f"{self.dimensions}d", self.mode, self.padding, corners, divided)))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of a sampler on a grid."""
        return {"mode": self.mode, "padding": self.padding, "align_corners": self.align_corners}


CASES = [
    Case(dimensions, mode, padding, align_corners, homogeneous)
    for dimensions, modes in MODES.items()
    for mode, padding, align_corners, homogeneous in product(modes, PADDINGS, (False, True), (False, True))
]
GIVEN = [case for case in CASES if not case.homogeneous]
"""Where the grid is given nothing is divided."""


@dataclass(frozen=True)
class Inputs:
    """Of one call. valid: pixels of each image that are its own."""

    source: np.ndarray
    basis: np.ndarray
    theta: np.ndarray
    extents: np.ndarray
    valid: list[tuple[int, ...]]
    output_size: tuple[int, ...]

    @property
    def points(self) -> np.ndarray:
        """Positions (n, P, axes) in float32, as engines compute them."""
        with np.errstate(all="ignore"):
            points = self.basis @ self.theta
            axes = len(self.output_size)
            return points if points.shape[2] == axes else points[..., :-1] / points[..., -1:]

    @property
    def grid(self) -> np.ndarray:
        """The positions as a grid."""
        return self.points.reshape(len(self.theta), *self.output_size, len(self.output_size))

    def whole(self) -> Inputs:
        """The same, every image filling its canvas."""
        source = np.nan_to_num(self.source, nan=0.25)
        valid = [source.shape[2:]] * len(source)
        extents = np.ones_like(self.extents)
        return Inputs(source, self.basis, self.theta, extents, valid, self.output_size)


def inputs_of(case: Case, *, channels: int = 3, seed: int = 0) -> Inputs:
    """A batch of five images."""
    rng = np.random.default_rng(seed)
    canvas, output = SIZES[case.dimensions]
    valid = [canvas, *(tuple(length - index for length in canvas) for index in (1, 2)), canvas, canvas]
    source = np.full((len(valid), channels, *canvas), np.nan, np.float32)
    for image, shape in zip(source, valid, strict=True):
        image[tuple(map(slice, (None, *shape)))] = rng.normal(size=(channels, *shape))
    basis = rng.uniform(-1, 1, (int(np.prod(output)), COUNT)).astype(np.float32)
    theta = rng.normal(size=(len(valid), COUNT, case.dimensions)).astype(np.float32) * 0.9
    theta[3, 1, 0] = np.inf
    theta[4] *= 1e20  # all beyond FAR: of what is less far, float32 does not know the pixel
    if case.homogeneous:
        basis[:, -1] = 1
        divisor = rng.uniform(-0.15, 0.15, (len(valid), COUNT, 1)).astype(np.float32)
        divisor[:, -1] = 1.3
        theta = np.concatenate([theta, divisor], axis=2)
    extents = (np.array(valid) / canvas).astype(np.float32)
    return Inputs(source, basis, theta, extents, valid, output)


def expected_of(case: Case, inputs: Inputs, source: np.ndarray | None = None) -> np.ndarray:
    """V in float64, each image cut out of its canvas; of another ``source`` where one is given."""
    images = inputs.source if source is None else source
    return np.concatenate(
        [
            _sample(case, image[cut][None].astype(np.float64), grid[None])
            for image, grid, cut in zip(images, inputs.grid, _cuts(inputs), strict=True)
        ]
    )


def expected_gradients(
    case: Case, inputs: Inputs, gradient: np.ndarray, source: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of (V * gradient).sum() for U, for the grid and for theta, in float64."""
    images = inputs.source if source is None else source
    for_source, for_grid = np.zeros(images.shape), np.zeros(inputs.grid.shape)
    for index, cut in enumerate(_cuts(inputs)):
        part, grid = images[index][cut][None].astype(np.float64), inputs.grid[index][None]
        found = _gradients(case, part, grid, gradient[index][None].astype(np.float64))
        for_source[index][cut], for_grid[index] = found[0][0], found[1][0]
    for_grid = np.where(np.abs(inputs.grid) <= FAR, for_grid, 0)  # beyond, positions are clamped
    return for_source, for_grid, _for_theta(inputs, for_grid.reshape(inputs.points.shape))


def close(found: np.ndarray, expected: np.ndarray, dtype: str = "float32") -> bool:
    """Whether V is what it should be, in a type that rounds."""
    allowed = SAMPLE + ROUNDING[dtype] * np.abs(expected)
    return bool((np.abs(found.astype(np.float64) - expected) <= allowed).all())


def close_gradient(found: np.ndarray, expected: np.ndarray, dtype: str = "float32") -> bool:
    """Whether a gradient is what it should be."""
    allowed = GRADIENT * np.abs(expected).max() + ROUNDING[dtype] * np.abs(expected)
    return bool((np.abs(found.astype(np.float64) - expected) <= allowed).all())


def _cuts(inputs: Inputs) -> list[tuple[slice, ...]]:
    return [(slice(None), *map(slice, shape)) for shape in inputs.valid]


def _sample(case: Case, source: np.ndarray, grid: np.ndarray) -> np.ndarray:
    if not case.align_corners:
        return reference_sample(source, grid, mode=case.mode, padding=case.padding)
    return _of_torch(case, torch.from_numpy(source), torch.from_numpy(grid.astype(np.float64))).numpy()


def _gradients(
    case: Case, source: np.ndarray, grid: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not case.align_corners:
        return reference_gradients(source, grid, gradient, mode=case.mode, padding=case.padding)
    u = torch.from_numpy(source).requires_grad_()
    positions = torch.from_numpy(grid.astype(np.float64)).requires_grad_()
    sampled = _of_torch(case, u, positions)
    found = torch.autograd.grad(sampled, (u, positions), torch.from_numpy(gradient))
    return found[0].numpy(), found[1].numpy()


def _of_torch(case: Case, source: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """torch's sampler, which has corners; nearest at a tie differs, but random positions lie at none."""
    finite = torch.isfinite(grid).all(dim=-1, keepdim=True)
    known = torch.where(finite, grid, 0).clamp(-FAR, FAR)
    mode = "bilinear" if case.mode == "trilinear" else case.mode
    sampled = F.grid_sample(source, known, mode, case.padding, align_corners=True)
    return torch.where(finite.movedim(-1, 1), sampled, 0)


def _for_theta(inputs: Inputs, moved: np.ndarray) -> np.ndarray:
    """The chain rule through the division and the product."""
    basis = inputs.basis.astype(np.float64)
    with np.errstate(all="ignore"):
        raw = basis @ inputs.theta.astype(np.float64)
        if raw.shape[2] > moved.shape[2]:
            moved = moved / raw[..., -1:]
            last = -(moved * raw[..., :-1] / raw[..., -1:]).sum(axis=2, keepdims=True)
            moved = np.concatenate([moved, last], axis=2)
    finite = np.isfinite(inputs.points).all(axis=2, keepdims=True)
    return np.swapaxes(np.swapaxes(np.where(finite, moved, 0), 1, 2) @ basis, 1, 2)
