"""Models of nothing but the node ThetaGridSample, in every kind, with inputs and what they should give."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from stn_deploy.export.node import DOMAIN, OP_TYPE, OPSET, NodeKind, define_nodes
from stn_deploy.stn import reference_sample

KINDS = [
    NodeKind(dimensions=dimensions, interpolation=interpolation, padding=padding, homogeneous=homogeneous)
    for dimensions, interpolations in ((2, ("nearest", "bilinear", "bicubic")), (3, ("nearest", "trilinear")))
    for interpolation, padding, homogeneous in product(
        interpolations, ("border", "zeros", "reflection"), (False, True)
    )
]
SIZES = {2: ((7, 12), (5, 4)), 3: ((4, 7, 5), (3, 2, 5))}
"""Of U and of V."""
COUNT = 5


def words(kind: NodeKind) -> str:
    parts = [
        f"{kind.dimensions}d",
        kind.interpolation,
        kind.padding,
        "homogeneous" if kind.homogeneous else "",
    ]
    return " ".join(filter(None, parts))


def nodes_model(kinds: list[NodeKind]) -> onnx.ModelProto:
    """A model of nodes alone, one for each kind, on the same inputs."""
    axes = kinds[0].dimensions
    space = ["D", "H", "W"][-axes:]
    inputs: dict[str, list[int | str | None]] = {
        "source": ["n", "c", *space],
        "basis": ["p", "k"],
        "theta": ["n", "k", axes + kinds[0].homogeneous],
        "extents": ["n", axes],
    }
    size = SIZES[axes][1]
    nodes = [
        helper.make_node(
            OP_TYPE, list(inputs), [f"V{index}"], domain=DOMAIN, output_size=list(size), **attributes(kind)
        )
        for index, kind in enumerate(kinds)
    ]
    graph = helper.make_graph(
        nodes,
        "nodes",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [
            helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, ["n", "c", *size])
            for node in nodes
        ],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = define_nodes(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    onnx.checker.check_model(model, full_check=True)
    return model


def attributes(kind: NodeKind) -> dict[str, Any]:
    return dict(kind.attributes)


def inputs_for(kind: NodeKind, *, batch: int = 3, pad: int = 0, seed: int = 0) -> dict[str, np.ndarray]:
    """Positions in and around U, on canvases with garbage in the padding."""
    rng = np.random.default_rng(seed)
    size, output = SIZES[kind.dimensions]
    valid = [tuple(length - index % 2 for length in size) for index in range(batch)]
    canvas = tuple(length + pad for length in size)
    source = rng.normal(size=(batch, 2, *canvas)).astype(np.float32)
    for image, shape in zip(source, valid, strict=True):
        inside = image[whole_to(shape)]
        edge = [(0, 0), *((0, min(1, c - v)) for c, v in zip(canvas, shape, strict=True))]
        bordered = np.pad(inside, edge, mode="edge")
        image[whole_to(bordered.shape[1:])] = bordered
    basis = rng.uniform(-1, 1, (int(np.prod(output)), COUNT)).astype(np.float32)
    theta = rng.normal(size=(batch, COUNT, kind.dimensions)).astype(np.float32) * 0.9
    if kind.homogeneous:
        basis[:, -1] = 1
        divisor = rng.uniform(-0.15, 0.15, (batch, COUNT, 1)).astype(np.float32)
        divisor[:, -1] = 1.3
        theta = np.concatenate([theta, divisor], axis=2)
    extents = (np.array(valid) / canvas).astype(np.float32)
    return {"source": source, "basis": basis, "theta": theta, "extents": extents}


def whole_to(shape: Iterable[int]) -> tuple[slice, ...]:
    """All channels, and of each axis the first so many pixels."""
    return (slice(None), *(slice(length) for length in shape))


def expected_of(kind: NodeKind, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Each image cut out of its canvas, sampled by equation 3 as it stands in the paper."""
    _, output = SIZES[kind.dimensions]
    canvas = inputs["source"].shape[2:]
    results = []
    for source, theta, extents in zip(inputs["source"], inputs["theta"], inputs["extents"], strict=True):
        shape = np.round(extents * canvas).astype(int)
        tight = source[whole_to(shape)]
        # The positions in the precision of the engines; the sampling in double.
        points = inputs["basis"] @ theta
        if kind.homogeneous:
            points = points[:, :-1] / points[:, -1:]
        grid = points.reshape(1, *output, kind.dimensions)
        results.append(reference_sample(tight[None], grid, mode=kind.interpolation, padding=kind.padding))
    return np.concatenate(results)
