"""Tensors that grid generators, bounds and transformers cannot use are refused by name."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import AFFINE, AFFINE_3D, ATTENTION, PROJECTIVE, ThinPlateSpline, Transform
from stn_deploy.stn import (
    BoundedDisplacement,
    BoundedPerspective,
    BoundedScale,
    DepthProjection,
    FullyConnectedLocalisation,
    GridGenerator,
    ParallelSpatialTransformer,
    Sampler,
    SpatialTransformer,
    reference_sample,
    sample,
)
from tests.refusals import check_refusal

SIZE = (4, 6)
SOURCE = torch.zeros(2, 3, 5, 9)
VOLUME = torch.zeros(2, 1, 3, 5, 4)
SPLINE = ThinPlateSpline.on_edges(6)


class Given(nn.Module):
    """A localisation network that answers with what it was given."""

    def __init__(self, theta: Any) -> None:
        super().__init__()
        self.theta = theta

    def forward(self, source: Tensor) -> Any:
        return self.theta


def transformer(theta: Any) -> SpatialTransformer:
    return SpatialTransformer(Given(theta), AFFINE, Sampler(), SIZE)


def parallel(theta: Any) -> ParallelSpatialTransformer:
    return ParallelSpatialTransformer(Given(theta), [AFFINE, ATTENTION], Sampler(), SIZE)


THETAS: list[tuple[Transform, Any, type[ArgumentError], str]] = [
    (AFFINE, torch.zeros(2, 2, 3), ShapeError, "theta: expected (n, 6) for affine, got (2, 2, 3); flatten"),
    (PROJECTIVE, torch.zeros(2, 3, 3), ShapeError, "theta: expected (n, 8) for projective, got (2, 3, 3)"),
    (SPLINE, torch.zeros(2, 6, 2), ShapeError, "theta: expected (n, 12) for ... got (2, 6, 2); flatten it"),
    (SPLINE, torch.zeros(2, 6), ShapeError, "theta: expected (n, 12) for thin-plate spline, got (2, 6)"),
    (AFFINE, torch.zeros(6), ShapeError, "theta: expected (n, 6) for affine, got (6,)"),
    (AFFINE, torch.zeros(2, 7), ShapeError, "theta: expected (n, 6) for affine, got (2, 7)"),
    (
        AFFINE_3D,
        torch.zeros(2, 3, 4),
        ShapeError,
        "theta: expected (n, 12) for ... got (2, 3, 4); flatten it",
    ),
    (AFFINE, torch.tensor(1.0), ShapeError, "theta: expected (n, 6) for affine, got ()"),
    (AFFINE, torch.zeros(2, 0), ShapeError, "theta: expected (n, 6) for affine, got (2, 0)"),
    (ATTENTION, torch.zeros(2, 6), ShapeError, "theta: expected (n, 3) for attention, got (2, 6)"),
    (AFFINE, torch.zeros(2, 6).long(), ArgumentError, "theta: expected torch.float32 ... got torch.int64"),
    (AFFINE, torch.zeros(2, 6).bool(), ArgumentError, "theta: expected torch.float32 ... got torch.bool"),
    (AFFINE, 1j * torch.zeros(2, 6), ArgumentError, "theta: expected torch.float32 ... got torch.complex64"),
    (
        AFFINE,
        torch.zeros(2, 6).double(),
        ArgumentError,
        "theta: expected torch.float32 ... got torch.float64",
    ),
    (AFFINE, torch.zeros(2, 6, device="meta"), ArgumentError, "theta: expected a tensor on cpu ... on meta"),
    (AFFINE, np.zeros((2, 6)), ArgumentError, "theta: expected ...tensor, got ...ndarray"),
    (AFFINE, None, ArgumentError, "theta: expected ...tensor, got None"),
]


@pytest.mark.parametrize(
    ("transform", "theta", "error", "message"), THETAS, ids=[message for *_, message in THETAS]
)
def test_the_grid_generator_refuses_a_theta_that_does_not_fit(
    transform: Transform, theta: Any, error: type[ArgumentError], message: str
) -> None:
    grid_generator = GridGenerator(transform, (2, *SIZE)[-transform.dimensions :])
    check_refusal(lambda: grid_generator(theta), error, message)


def test_a_float64_generator_refuses_a_float32_theta() -> None:
    grid_generator = GridGenerator(AFFINE, SIZE).double()
    message = "theta: expected torch.float64 ... got torch.float32; call .float() or .double()"
    check_refusal(lambda: grid_generator(torch.zeros(2, 6)), ArgumentError, message)


BOUNDS = [
    BoundedDisplacement(ATTENTION, 0.5),
    BoundedScale(ATTENTION, 0.5, 2),
    BoundedPerspective(PROJECTIVE),
]


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: type(bound).__name__)
def test_a_bound_refuses_a_theta_that_does_not_fit(bound: nn.Module) -> None:
    transform = PROJECTIVE if isinstance(bound, BoundedPerspective) else ATTENTION
    p = transform.parameters
    for shape in ((2, p + 3), (2, p - 1), (p,), (2, 1, p), ()):
        message = f"theta: expected (n, {p}) for {transform.name}, got {shape}"
        check_refusal(partial(bound, torch.zeros(shape)), ShapeError, message)
    for kind in (torch.float64, torch.int64):
        message = f"theta: expected torch.float32 ... got {kind}"
        wrong = torch.zeros(2, p, dtype=kind)
        check_refusal(partial(bound, wrong), ArgumentError, message)


DENSE = FullyConnectedLocalisation((1, 32, 32), AFFINE.identity)
FITTING = transformer(torch.zeros(2, 6))
PASSES: dict[str, tuple[nn.Module, Any, type[ArgumentError], str]] = {
    "theta of others": (
        transformer(torch.zeros(3, 6)),
        SOURCE,
        ShapeError,
        "theta: expected one for each of 2 images, got (3, 6)",
    ),
    "thetas of others": (
        parallel(torch.zeros(3, 9)),
        SOURCE,
        ShapeError,
        "theta: expected one for each of 2 images, got (3, 6)",
    ),
    "matrix": (transformer(torch.zeros(2, 2, 3)), SOURCE, ShapeError, "theta: expected (n, 6) ... (2, 2, 3)"),
    "float64 theta": (
        transformer(torch.zeros(2, 6).double()),
        SOURCE,
        ArgumentError,
        "theta: ... got torch.float64",
    ),
    "no theta": (transformer(None), SOURCE, ArgumentError, "theta: expected ... got None"),
    "volume": (FITTING, VOLUME, ShapeError, "source: expected (n, c, H, W), got (2, 1, 3, 5, 4)"),
    "no batch": (FITTING, SOURCE[0], ShapeError, "source: expected ... got (3, 5, 9)"),
    "no pixels": (FITTING, SOURCE[..., :0], ShapeError, "source: expected at least 1 pixel"),
    "bytes": (
        FITTING,
        SOURCE.byte(),
        ArgumentError,
        "source: expected a floating-point tensor, got torch.uint8",
    ),
    "float64": (
        FITTING,
        SOURCE.double(),
        ArgumentError,
        "grid: expected torch.float64 ... got torch.float32",
    ),
    "array": (FITTING, SOURCE.numpy(), ArgumentError, "source: expected ...tensor, got ...ndarray"),
    "long theta": (parallel(torch.zeros(2, 10)), SOURCE, ShapeError, "localisation: ... (n, 9) ... (2, 10)"),
    "matrices": (
        parallel(torch.zeros(2, 3, 3)),
        SOURCE,
        ShapeError,
        "localisation: ... (n, 9) ... (2, 3, 3)",
    ),
    "no thetas": (parallel(None), SOURCE, ArgumentError, "localisation: expected ... got None"),
    "volume for all": (parallel(torch.zeros(2, 9)), VOLUME, ShapeError, "source: expected (n, c, H, W), got"),
    "source of another size": (
        SpatialTransformer(DENSE, AFFINE, Sampler(), SIZE),
        torch.zeros(2, 1, 28, 30),
        ShapeError,
        "source: expected (n, 1, 32, 32)... got (2, 1, 28, 30)",
    ),
    "source of another size for all": (
        ParallelSpatialTransformer([DENSE, DENSE], [AFFINE, AFFINE], Sampler(), SIZE),
        torch.zeros(2, 3, 32, 32),
        ShapeError,
        "source: expected (n, 1, 32, 32)... got (2, 3, 32, 32)",
    ),
    "no volume": (DepthProjection(), None, ArgumentError, "volume: expected a tensor, got None"),
    "image": (DepthProjection(), SOURCE, ShapeError, "volume: expected (n, c, d, h, w), got (2, 3, 5, 9)"),
}


@pytest.mark.parametrize(("module", "source", "error", "message"), PASSES.values(), ids=PASSES)
def test_a_transformer_refuses_what_does_not_fit(
    module: nn.Module, source: Any, error: type[ArgumentError], message: str
) -> None:
    check_refusal(lambda: module(source), error, message)
    if isinstance(module, SpatialTransformer | ParallelSpatialTransformer):
        check_refusal(lambda: module.inspect(source), error, message)


@pytest.mark.parametrize("transform", [AFFINE, PROJECTIVE, SPLINE], ids=lambda transform: transform.name)
def test_an_empty_batch_is_no_bad_input(transform: Transform) -> None:
    grid = GridGenerator(transform, SIZE)(torch.zeros(0, transform.parameters))
    assert grid.shape == (0, *SIZE, 2)
    assert sample(SOURCE[:0], grid).shape == (0, 3, *SIZE)
    assert reference_sample(SOURCE[:0], grid).shape == (0, 3, *SIZE)


def test_an_empty_batch_passes_through_transformers() -> None:
    assert transformer(torch.zeros(0, 6))(SOURCE[:0]).shape == (0, 3, *SIZE)
    assert parallel(torch.zeros(0, 9))(SOURCE[:0]).shape == (0, 6, *SIZE)
    assert transformer(torch.zeros(0, 6)).inspect(SOURCE[:0]).corners.shape == (0, 4, 2)
