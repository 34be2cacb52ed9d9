"""The localisation network inside an exported graph: its convolutions, dense layers, and what joins them."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import ModelProto, NodeProto, TensorProto

from stn_deploy.artifact import THETA, THUMBNAILS
from stn_deploy.errors import ArtifactError

LAYERS = ("Conv", "Gemm")
"""Operators with learnt weights."""
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


def network_of(model: ModelProto) -> list[NodeProto]:
    """The nodes from the first layer to the last, in their order.

    What comes before (normalising the thumbnail) and behind (from parameters to theta and score) has no
    weights and is not among them, nor is the shape of the crop, which joins the network on the way.

    Raises:
        ArtifactError: there is no layer between thumbnails and theta: the file is not a rectifier.
    """
    seen = _reached(model.graph.node, {THUMBNAILS})
    needed = _needed(model.graph.node, {THETA})
    weights = {item.name for item in model.graph.initializer}
    layers = [
        node
        for node in model.graph.node
        if node.op_type in LAYERS and _touches(node.output, seen & needed) and _weighted(node, weights)
    ]
    if not layers:
        raise ArtifactError(
            f"model: expected layers with weights between {THUMBNAILS} and {THETA}, found none in float32; "
            "the file is not a rectifier, or was converted already: export it again from the checkpoint"
        )
    behind = _reached(model.graph.node, {name for node in layers for name in node.output})
    before = _needed(model.graph.node, {name for node in layers for name in node.output})
    return [node for node in model.graph.node if _touches(node.output, behind & before)]


def layers_of(nodes: Iterable[NodeProto]) -> list[NodeProto]:
    """The convolutions and dense layers among the nodes of a network."""
    return [node for node in nodes if node.op_type in LAYERS]


def expect_float32(model: ModelProto) -> None:
    """Check that a model was not brought to a lower precision before.

    Raises:
        ArtifactError: it was.
    """
    halves = [item for item in model.graph.initializer if item.data_type == TensorProto.FLOAT16]
    quantisers = [node for node in model.graph.node if node.op_type in _QUANTISERS]
    if halves or quantisers:
        found = "int8" if quantisers else "float16"
        raise ArtifactError(
            f"model: expected a network in float32, got one in {found}: rounding twice adds the errors; "
            "export it again from the checkpoint"
        )


def _reached(nodes: Iterable[NodeProto], names: set[str]) -> set[str]:
    """The tensors, and all that is computed from them. Nodes stand in topological order."""
    reached = set(names)
    for node in nodes:
        if _touches(node.input, reached):
            reached |= set(node.output)
    return reached


def _needed(nodes: Iterable[NodeProto], names: set[str]) -> set[str]:
    """The tensors, and all that they are computed from."""
    needed = set(names)
    for node in reversed(list(nodes)):
        if _touches(node.output, needed):
            needed |= set(node.input)
    return needed - {""}


def _touches(names: Iterable[str], others: set[str]) -> bool:
    return not others.isdisjoint(names)


def _weighted(node: NodeProto, weights: set[str]) -> bool:
    return len(node.input) > 1 and node.input[1] in weights
