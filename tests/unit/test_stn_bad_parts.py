"""Transforms, grid generators, transformers and networks that cannot be built are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import (
    AFFINE,
    AFFINE_3D,
    PROJECTIVE,
    MatrixTransform,
    ThinPlateSpline,
    inset_control_points,
    sloped_control_points,
)
from stn_deploy.stn import (
    AsterLocalisation,
    BoundedDisplacement,
    BoundedPerspective,
    BoundedScale,
    ThumbnailLocalisation,
    ConvolutionalLocalisation,
    DepthwiseLocalisation,
    FullyConnectedLocalisation,
    GridGenerator,
    LeNetLocalisation,
    MultiScaleLocalisation,
    ParallelSpatialTransformer,
    Sampler,
    SpatialTransformer,
    theta_layer,
)
from tests.refusals import check_refusal

Call = tuple[Callable[..., object], tuple[Any, ...], str]

SIZE = (4, 6)
SPLINE = ThinPlateSpline.on_edges(6)
ANY = nn.Identity()


@pytest.mark.parametrize(
    "size", [5, None, (4,), (4, 5, 6), (0, 3), (3, -1), (4.0, 5.0), "ab", (True, True), (3, None)], ids=str
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


def test_a_flat_output_of_a_volume_transform_is_refused() -> None:
    message = "output_size: expected (depth, height, width), each at least 1 pixel, got (4, 6)"
    check_refusal(lambda: GridGenerator(AFFINE_3D, SIZE), ArgumentError, message)


EDGES, LATTICE = ThinPlateSpline.on_edges, ThinPlateSpline.on_lattice
EVEN = "control points: expected an even number of at least 4, got "
TRANSFORMS: dict[str, Call] = {
    "odd": (EDGES, (7,), EVEN + "7"),
    "too few": (EDGES, (2,), EVEN + "2"),
    "fraction": (EDGES, (6.0,), EVEN + "6.0"),
    "odd, sloped": (sloped_control_points, (5,), EVEN + "5"),
    "odd, inset": (inset_control_points, (5,), EVEN + "5"),
    "one row": (LATTICE, (1, 4), "control points: expected at least 2 rows and 2 columns, got 1 and 4"),
    "fraction of a row": (LATTICE, (2.0, 4), "control points: expected at least 2 rows ... got 2.0 and 4"),
    "one line": (ThinPlateSpline, ([[0, 0], [1, 1], [2, 2]],), "control points: expected distinct points"),
    "not a number": (ThinPlateSpline, ([[0, 0], [1, 0], [np.nan, 1]],), "control... expected ...finite"),
    "infinite": (ThinPlateSpline, ([[0, 0], [1, 0], [np.inf, 1]],), "control... expected ...finite"),
    "ragged rows": (MatrixTransform, ("bent", "a 0 b", "0 1"), "rows: expected 2 rows ... got [3, 2]"),
    "no rows": (MatrixTransform, ("empty",), "rows: expected 2 rows of 3 entries, ... got []"),
    "numbers alone": (MatrixTransform, ("fixed", "1 0 0", "0 1 0"), "rows: expected at least one parameter"),
    "unreadable": (MatrixTransform, ("sum", "a+b 0 0", "0 1 0"), "rows: expected a number or ... got 'a+b'"),
}


@pytest.mark.parametrize(("build", "arguments", "message"), TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_that_is_none_is_refused(
    build: Callable[..., object], arguments: tuple[Any, ...], message: str
) -> None:
    check_refusal(lambda: build(*arguments), ArgumentError, message)


def test_a_kernel_aspect_of_zero_is_refused() -> None:
    message = "kernel_aspect: expected a number above 0, got 0"
    check_refusal(lambda: ThinPlateSpline.on_edges(6, kernel_aspect=0), ArgumentError, message)


@pytest.mark.parametrize("points", [np.zeros(2), np.zeros((4, 3)), "ab", [[1, 2], [3]]], ids=str)
def test_control_points_that_are_no_pairs_are_refused(points: Any) -> None:
    check_refusal(lambda: ThinPlateSpline(points), ShapeError, "control_targets: expected ... got")


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


def test_constraints_must_be_as_many_as_transforms() -> None:
    message = "constraints: expected one for each of 2 transforms, got 1"
    check_refusal(
        lambda: ParallelSpatialTransformer(ANY, [AFFINE] * 2, Sampler(), SIZE, constraints=[None]),
        ArgumentError,
        message,
    )


BOUNDS: dict[str, Call] = {
    "displacement of nothing": (BoundedDisplacement, (AFFINE, 0), "limit: expected a number above 0, got 0"),
    "displacement without end": (BoundedDisplacement, (AFFINE, np.inf), "limit: expected ... got inf"),
    "displacement of no number": (BoundedDisplacement, (AFFINE, np.nan), "limit: expected ... got nan"),
    "perspective of one": (BoundedPerspective, (PROJECTIVE, 1), "limit: expected a number in (0, 1), got 1"),
    "perspective of nothing": (BoundedPerspective, (PROJECTIVE, 0), "limit: expected a number ... got 0"),
    "negative perspective": (BoundedPerspective, (PROJECTIVE, -1), "limit: expected a number ... got -1"),
    "affine perspective": (
        BoundedPerspective,
        (AFFINE,),
        "transform: expected ... got MatrixTransform(affine",
    ),
    "scale of a spline": (BoundedScale, (SPLINE, 0.5, 2), "transform: expected a matrix ... got ThinPlate"),
    "scales swapped": (BoundedScale, (AFFINE, 2, 0.5), "lowest, highest: expected ... got 2 and 0.5"),
}


@pytest.mark.parametrize(("build", "arguments", "message"), BOUNDS.values(), ids=BOUNDS)
def test_a_bound_that_bounds_nothing_is_refused(
    build: Callable[..., object], arguments: tuple[Any, ...], message: str
) -> None:
    check_refusal(lambda: build(*arguments), ArgumentError, message)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "dense": FullyConnectedLocalisation,
    "convolutional": ConvolutionalLocalisation,
    "LeNet": LeNetLocalisation,
    "multi-scale": MultiScaleLocalisation,
    "depthwise": DepthwiseLocalisation,
}


@pytest.mark.parametrize(
    "size", [(3, 5), (3, 0, 9), (3, -4, 9), (1, 2, 3, 4, 5), (3, 28.0, 28.0), 28], ids=str
)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_refuses_an_input_size_that_is_none(name: str, size: object) -> None:
    build = NETWORKS[name]
    check_refusal(
        lambda: build(size, AFFINE.identity),
        ArgumentError,
        f"input_size: expected ... at least 1, got {size}",
    )


@pytest.mark.parametrize("name", ["convolutional", "LeNet", "multi-scale"])
def test_a_network_refuses_an_input_too_small_for_its_layers(name: str) -> None:
    build = NETWORKS[name]
    check_refusal(
        lambda: build((1, 2, 3), AFFINE.identity), ArgumentError, "input_size: expected ... (1, 2, 3)"
    )


@pytest.mark.parametrize("start", [[], [np.nan] * 6, [np.inf, 0], None, [[1, 2], [3]]], ids=str)
def test_a_start_that_is_no_theta_is_refused(start: Any) -> None:
    message = "start: expected at least one number, all finite, got"
    check_refusal(lambda: theta_layer(4, start), ArgumentError, message)
    check_refusal(lambda: FullyConnectedLocalisation((1, 8, 9), start), ArgumentError, message)
    check_refusal(lambda: AsterLocalisation(3, start), ArgumentError, message)


LAYERS: dict[str, Call] = {
    "no channels": (AsterLocalisation, (0, AFFINE.identity), "channels: expected ... got 0"),
    "fewer than none": (AsterLocalisation, (-3, AFFINE.identity), "channels: expected ... got -3"),
    "thumbnails": (ThumbnailLocalisation, ((30, 64), 6), "thumbnail_size: expected multiples ... got (30, 64)"),
}


@pytest.mark.parametrize(("build", "arguments", "message"), LAYERS.values(), ids=LAYERS)
def test_layers_of_no_size_are_refused(
    build: Callable[..., object], arguments: tuple[Any, ...], message: str
) -> None:
    check_refusal(lambda: build(*arguments), ArgumentError, message)


def test_dense_layers_without_units_are_refused() -> None:
    check_refusal(
        lambda: FullyConnectedLocalisation((1, 8, 9), AFFINE.identity, units=0),
        ArgumentError,
        "units: expected ... got 0",
    )


def test_channels_must_be_as_many_as_strides() -> None:
    message = "channels: expected one for each of the strides (2, 2, 2), got (8, 8)"
    check_refusal(
        lambda: ThumbnailLocalisation((32, 64), 6, channels=(8, 8), strides=(2, 2, 2)), ArgumentError, message
    )
