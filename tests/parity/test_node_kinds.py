"""Every kind of the node: ONNX function and torch twin against the paper's sampler in NumPy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from stn_deploy.errors import ArgumentError
from stn_deploy.export.node import BILINEAR_BORDER, DOMAIN, OP_TYPE, NodeKind
from stn_deploy.stn import theta_grid_sample
from tests.node_models import KINDS, SIZES, expected_of, inputs_for, nodes_model, words
from tests.tolerances import SAMPLE

each_kind = pytest.mark.parametrize("kind", KINDS, ids=words)


@cache
def session(kind: NodeKind) -> onnxruntime.InferenceSession:
    data = nodes_model([kind]).SerializeToString()
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def in_torch(kind: NodeKind, inputs: dict[str, np.ndarray]) -> np.ndarray:
    source, basis, theta, extents = map(torch.from_numpy, inputs.values())
    sampled = theta_grid_sample(
        source,
        basis,
        theta,
        extents,
        SIZES[kind.dimensions][1],
        mode=kind.interpolation,
        padding=kind.padding,
        homogeneous=kind.homogeneous,
    )
    return sampled.numpy()


def in_onnx(kind: NodeKind, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(session(kind).run(None, inputs)[0])


@each_kind
@pytest.mark.parametrize("pad", [0, 1, 3])
def test_function_and_twin_are_the_paper_s_sampler(kind: NodeKind, pad: int) -> None:
    inputs = inputs_for(kind, pad=pad)
    expected = expected_of(kind, inputs)
    assert np.ptp(expected) > 1
    assert np.abs(in_torch(kind, inputs) - expected).max() < SAMPLE
    assert np.abs(in_onnx(kind, inputs) - expected).max() < SAMPLE


@each_kind
def test_the_positions_reach_far_enough_to_tell_the_paddings_apart(kind: NodeKind) -> None:
    inputs = inputs_for(kind)
    others = [padding for padding in ("border", "zeros", "reflection") if padding != kind.padding]
    expected = expected_of(kind, inputs)
    for padding in others:
        other = NodeKind(
            dimensions=kind.dimensions,
            interpolation=kind.interpolation,
            padding=padding,
            homogeneous=kind.homogeneous,
        )
        assert np.abs(expected_of(other, inputs) - expected).max() > 0.1


@each_kind
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_position_is_zero_and_harms_no_neighbour(kind: NodeKind, value: float) -> None:
    inputs = inputs_for(kind, batch=2)
    kept = in_onnx(kind, inputs)[1]
    inputs["theta"][0, 1, 0] = value
    for sampled in (in_torch(kind, inputs), in_onnx(kind, inputs)):
        assert (sampled[0] == 0).all()
        np.testing.assert_allclose(sampled[1], kept, atol=SAMPLE)


@each_kind
def test_far_away_is_finite_everywhere(kind: NodeKind) -> None:
    inputs = inputs_for(kind, batch=2)
    inputs["theta"][0, :, : kind.dimensions] *= np.float32(1e20)
    torch_, onnx_ = in_torch(kind, inputs), in_onnx(kind, inputs)
    assert np.isfinite(onnx_).all()
    # Which way a reflected position faces is lost in rounding.
    if kind.padding != "reflection":
        assert np.abs(torch_ - onnx_).max() < SAMPLE


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.homogeneous], ids=words)
def test_where_the_divisor_is_zero_nothing_is_sampled(kind: NodeKind) -> None:
    inputs = inputs_for(kind, batch=1)
    inputs["theta"][..., -1] = 0
    assert (in_torch(kind, inputs) == 0).all()
    assert (in_onnx(kind, inputs) == 0).all()


def test_pixels_are_found_in_a_volume_of_more_voxels_than_a_float_can_count() -> None:
    """20,000,001 voxels along one axis: past 2^24 float32 tells no neighbours apart, whole numbers do."""
    kind = NodeKind(dimensions=3, interpolation="nearest")
    size, output = (2, 5, 2_000_001), SIZES[3][1]
    source = np.zeros((1, 1, *size), np.float32)
    source[0, 0, 1, 4, 2_000_000] = 7
    theta = np.ones((1, 1, 3), np.float32)
    inputs = {
        "source": source,
        "basis": np.ones((int(np.prod(output)), 1), np.float32),
        "theta": theta,
        "extents": np.ones((1, 3), np.float32),
    }
    assert (in_onnx(kind, inputs) == 7).all()


def test_nodes_of_several_kinds_share_a_model_and_one_keeps_the_name() -> None:
    """TensorRT takes the first function of a name for all of its nodes; so there is but one."""
    kinds = [NodeKind(padding="zeros"), BILINEAR_BORDER, NodeKind(interpolation="bicubic"), BILINEAR_BORDER]
    model = nodes_model(kinds)
    assert [function.name for function in model.functions] == [OP_TYPE]
    kept = [node for node in model.graph.node if node.domain == DOMAIN]
    assert [NodeKind.of(node) for node in kept] == [BILINEAR_BORDER] * 2
    assert {opset.domain for opset in model.opset_import} == {"", DOMAIN}
    running = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = inputs_for(BILINEAR_BORDER, pad=2)
    for kind, sampled in zip(kinds, running.run(None, inputs), strict=True):
        assert np.abs(sampled - expected_of(kind, inputs)).max() < SAMPLE


def test_the_kind_of_a_node_is_read_from_its_attributes() -> None:
    for kind in KINDS:
        (node,) = (node for node in nodes_model([kind]).graph.node if node.op_type == OP_TYPE)
        assert NodeKind.of(node) == kind


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dimensions": 4}, "dimensions: expected 2 or 3, got 4"),
        ({"interpolation": "trilinear"}, "interpolation: expected one of nearest, bilinear, bicubic"),
        ({"dimensions": 3}, "interpolation: expected one of nearest, trilinear, got 'bilinear'"),
        ({"padding": "wrap"}, "padding: expected one of border, zeros, reflection, got 'wrap'"),
    ],
)
def test_a_kind_that_is_none_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        NodeKind(**settings)
