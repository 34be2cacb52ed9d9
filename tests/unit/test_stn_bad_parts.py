"""Grid generators, samplers, transformers and bounds that cannot be built are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry import (
    AFFINE,
    AFFINE_3D,
    ATTENTION,
    PROJECTIVE,
    SIMILARITY,
    MatrixTransform,
    ThinPlateSpline,
)
from stn_deploy.stn import (
    BoundedDisplacement,
    BoundedPerspective,
    BoundedScale,
    GridGenerator,
    ParallelSpatialTransformer,
    Sampler,
    SpatialTransformer,
)
from tests.refusals import check_refusal

Call = tuple[Callable[..., object], tuple[Any, ...], str]

SIZE = (4, 6)
SPLINE = ThinPlateSpline.on_edges(6)
ANY = nn.Identity()


@pytest.mark.parametrize(
    "size",
    [5, None, (4,), (4, 5, 6), (0, 3), (3, -1), (4.0, 5.0), "ab", (True, True), (3, None), [[1], [2, 3]]],
    ids=str,
)
@pytest.mark.parametrize(
    "build",
    [
        lambda size: GridGenerator(AFFINE, size),
        lambda size: SpatialTransformer(ANY, AFFINE, Sampler(), size),
        lambda size: ParallelSpatialTransformer(ANY, [AFFINE], Sampler(), size),
    ],
    ids=["generator", "transformer", "parallel"],
)
def test_an_output_size_that_is_none_is_refused(build: Callable[[Any], object], size: object) -> None:
    message = "output_size: expected (height, width), each at least 1 pixel, got"
    check_refusal(lambda: build(size), ArgumentError, message)


@pytest.mark.parametrize("size", [7, (5,), (5, 6), (2, 0, 5), (2, 3.0, 4.0), [[1], [2, 3]]], ids=str)
def test_an_output_size_that_is_no_volume_is_refused(size: Any) -> None:
    message = "output_size: expected (depth, height, width), each at least 1 pixel, got"
    check_refusal(lambda: GridGenerator(AFFINE_3D, size), ArgumentError, message)


ONE, SEVERAL = SpatialTransformer, ParallelSpatialTransformer
PARTS: dict[str, Call] = {
    "unknown mode": (Sampler, ("area",), "mode: expected one of nearest, bilinear, bicubic, trilinear, got"),
    "unknown padding": (Sampler, ("bilinear", "wrap"), "padding: expected one of ... got 'wrap'"),
    "trilinear": (
        ONE,
        (ANY, AFFINE, Sampler("trilinear"), SIZE),
        "sampler: ... 2 dimensions, got 'trilinear'",
    ),
    "bilinear": (ONE, (ANY, AFFINE_3D, Sampler(), (2, 3, 4)), "sampler: ... 3 dimensions, got 'bilinear'"),
    "the class": (ONE, (ANY, AFFINE, Sampler, SIZE), "sampler: expected ... got"),
    "a name": (ONE, (ANY, "affine", Sampler(), SIZE), "transform: expected ... got 'affine'"),
    "a name alone": (GridGenerator, ("affine", SIZE), "transform: expected ... got 'affine'"),
    "no transform": (
        SEVERAL,
        (ANY, [], Sampler(), SIZE),
        "transforms: expected a list of at least one, got []",
    ),
    "one transform": (SEVERAL, (ANY, AFFINE, Sampler(), SIZE), "transforms: expected ... got"),
    "names": (SEVERAL, (ANY, ["affine"], Sampler(), SIZE), "transform... expected ... got"),
    "one network": (SEVERAL, ([ANY], [AFFINE] * 2, Sampler(), SIZE), "localisation: expected one ... got 1"),
    "one network in modules": (
        SEVERAL,
        (nn.ModuleList([ANY]), [AFFINE] * 2, Sampler(), SIZE),
        "localisation: expected one for each of 2 transforms, got 1",
    ),
    "no network": (SEVERAL, ([], [AFFINE] * 2, Sampler(), SIZE), "localisation: expected one ... got 0"),
    "plane and volume": (
        SEVERAL,
        (ANY, [AFFINE, AFFINE_3D], Sampler("nearest"), SIZE),
        "output_size: expected",
    ),
}


@pytest.mark.parametrize(("build", "arguments", "message"), PARTS.values(), ids=PARTS)
def test_parts_that_do_not_go_together_are_refused(
    build: Callable[..., object], arguments: tuple[Any, ...], message: str
) -> None:
    check_refusal(lambda: build(*arguments), ArgumentError, message)


@pytest.mark.parametrize("antialias", ["no", 1, None])
def test_an_antialias_that_is_neither_true_nor_false_is_refused(antialias: Any) -> None:
    message = f"antialias: expected True or False, got {antialias!r}"
    check_refusal(lambda: Sampler(antialias=antialias), ArgumentError, message)


@pytest.mark.parametrize(
    "constraint", [[ANY, ANY], "scale", nn.Identity, torch.relu], ids=["list", "text", "class", "function"]
)
def test_a_constraint_that_is_no_module_is_refused(constraint: Any) -> None:
    call = partial(SpatialTransformer, ANY, AFFINE, Sampler(), SIZE, constraint=constraint)
    check_refusal(call, ArgumentError, "constraint: expected a torch module, got")


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([None], "constraints: expected one for each of 2 transforms, got 1"),
        ([None, "scale"], "constraints: expected a torch module, got 'scale'"),
        (3, "constraints: expected a list ... got 3"),
        (ANY, "constraints: expected a list ... got Identity()"),
    ],
    ids=["one", "a name", "a number", "a module"],
)
def test_constraints_that_are_not_one_for_each_transform_are_refused(constraints: Any, message: str) -> None:
    call = partial(SEVERAL, ANY, [AFFINE] * 2, Sampler(), SIZE, constraints=constraints)
    check_refusal(call, ArgumentError, message)


DISPLACEMENT, PERSPECTIVE, SCALE = BoundedDisplacement, BoundedPerspective, BoundedScale
TURN = MatrixTransform("turn", "a -b 0", "b a 0")
WINDOW = MatrixTransform("window", "0.5 0 tx", "0 0.5 ty")
SHEAR = MatrixTransform("shear", "1 b 0", "0 1 0")
LEANING = MatrixTransform("leaning", "a b c", "d e f", "0.5 g 1")
TIED = MatrixTransform("tied", "a b c", "d e f", "a g 1")
LIMIT, SCALES = "limit: expected a number ", "lowest, highest: expected 0 < lowest < 1 < highest, "
MATRIX, OWN = "transform: expected a matrix transform for ", "transform: expected one with "
BOUNDS: dict[str, Call] = {
    **{
        f"displacement of {limit}": (DISPLACEMENT, (AFFINE, limit), f"{LIMIT}above 0, got {limit}")
        for limit in (0, -1.0, np.nan, np.inf)
    },
    "displacement of a turn": (
        DISPLACEMENT,
        (TURN, 1),
        OWN + "... displacement ... got MatrixTransform(turn",
    ),
    # The number that came, not the share of it that each entry gets.
    **{
        f"perspective of {limit}": (PERSPECTIVE, (PROJECTIVE, limit), f"{LIMIT}in (0, 1), got {limit}")
        for limit in (0, -1.0, 1, 7.0, np.nan, np.inf)
    },
    **{
        f"perspective, {plane.name}": (PERSPECTIVE, (plane,), f"{OWN}... perspective... got {plane!r}")
        for plane in (AFFINE, ATTENTION, SIMILARITY, AFFINE_3D)
    },
    "perspective of a spline": (PERSPECTIVE, (SPLINE,), MATRIX + "BoundedPerspective, got ThinPlate"),
    "perspective beside a number": (PERSPECTIVE, (LEANING,), "transform: expected ... got ...leaning"),
    "perspective tied to the rest": (PERSPECTIVE, (TIED,), "transform: expected ... got ...tied"),
    **{
        f"scales {lowest} and {highest}": (
            SCALE,
            (AFFINE, lowest, highest),
            f"{SCALES}got {lowest} and {highest}",
        )
        for lowest, highest in (
            *((0, 2.0), (-0.5, 2), (1, 2), (0.5, 1), (0.5, 0.9), (2, 0.5)),
            *((0.5, np.inf), (np.nan, 2.0)),
        )
    },
    "scale of a spline": (SCALE, (SPLINE, 0.5, 2), MATRIX + "BoundedScale, got ThinPlate"),
    "scale of a window": (SCALE, (WINDOW, 0.5, 2), OWN + "a scale ... got MatrixTransform(window"),
    "scale of a shear": (SCALE, (SHEAR, 0.5, 2), OWN + "a scale ... got MatrixTransform(shear"),
}


@pytest.mark.parametrize(("build", "arguments", "message"), BOUNDS.values(), ids=BOUNDS)
def test_a_bound_that_bounds_nothing_is_refused(
    build: Callable[..., object], arguments: tuple[Any, ...], message: str
) -> None:
    check_refusal(lambda: build(*arguments), ArgumentError, message)
