"""Localisation networks that cannot be built, and what they cannot see, are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import AFFINE
from stn_deploy.stn import (
    AsterLocalisation,
    ConvolutionalLocalisation,
    DepthwiseLocalisation,
    FullyConnectedLocalisation,
    LeNetLocalisation,
    MultiScaleLocalisation,
    ThumbnailLocalisation,
    theta_layer,
)
from tests.refusals import check_refusal

Call = tuple[Callable[..., object], tuple[Any, ...], str]

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


WRONG = [(2, 1, 28, 30), (2, 3, 32, 32), (1, 32, 32), (2, 1, 32), (2, 1, 32, 32, 32)]


@pytest.mark.parametrize("shape", WRONG, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_refuses_a_source_that_is_not_of_its_input_size(name: str, shape: tuple[int, ...]) -> None:
    network = NETWORKS[name]((1, 32, 32), AFFINE.identity)
    message = f"source: expected (n, 1, 32, 32)... got {shape}"
    check_refusal(lambda: network(torch.zeros(shape)), ShapeError, message)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_refuses_a_source_that_is_no_tensor(name: str) -> None:
    network = NETWORKS[name]((1, 32, 32), AFFINE.identity)
    for source in (None, np.zeros((2, 1, 32, 32), np.float32)):
        check_refusal(partial(network, source), ArgumentError, "source: expected a tensor, got")


@pytest.mark.parametrize("shape", [(2, 1, 28, 30), (3, 32, 32), (2, 3, 4, 32, 32)], ids=str)
def test_a_network_for_any_size_refuses_a_source_of_other_channels(shape: tuple[int, ...]) -> None:
    network = AsterLocalisation(3, AFFINE.identity)
    message = f"source: expected (n, ... H, W)... got {shape}"
    check_refusal(lambda: network(torch.zeros(shape)), ShapeError, message)


@pytest.mark.parametrize("name", ["convolutional", "LeNet", "multi-scale"])
def test_a_network_refuses_an_input_too_small_for_its_layers(name: str) -> None:
    build = NETWORKS[name]
    check_refusal(
        lambda: build((1, 2, 3), AFFINE.identity), ArgumentError, "input_size: expected ... (1, 2, 3)"
    )


@pytest.mark.parametrize("start", [[], [np.nan] * 6, [np.inf, 0], None, [[1, 2], [3]], 6], ids=str)
def test_a_start_that_is_no_theta_is_refused(start: Any) -> None:
    message = "start: expected a theta, such as AFFINE.identity, of finite numbers, got"
    check_refusal(lambda: theta_layer(4, start), ArgumentError, message)
    check_refusal(lambda: FullyConnectedLocalisation((1, 8, 9), start), ArgumentError, message)
    check_refusal(lambda: AsterLocalisation(3, start), ArgumentError, message)


LAYERS: dict[str, Call] = {
    "no channels": (AsterLocalisation, (0, AFFINE.identity), "channels: expected ... got 0"),
    "fewer than none": (AsterLocalisation, (-3, AFFINE.identity), "channels: expected ... got -3"),
    "thumbnails": (
        ThumbnailLocalisation,
        ((30, 64), 6),
        "thumbnail_size: expected multiples ... got (30, 64)",
    ),
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
