"""The nodes and the function ``stn_deploy::ThetaGridSample`` in a model."""

from __future__ import annotations

from onnx import FunctionProto, ModelProto, NodeProto

from stn_deploy.errors import ArtifactError
from stn_deploy.export.node import DOMAIN, OP_TYPE

NAME = f"{DOMAIN}::{OP_TYPE}"


def nodes_of(model: ModelProto) -> list[NodeProto]:
    """All nodes ThetaGridSample of the graph."""
    return [node for node in model.graph.node if (node.domain, node.op_type) == (DOMAIN, OP_TYPE)]


def functions_of(model: ModelProto) -> list[FunctionProto]:
    """The functions that define ThetaGridSample: one, or none."""
    return [each for each in model.functions if (each.domain, each.name) == (DOMAIN, OP_TYPE)]


def expect_function(model: ModelProto) -> None:
    """Check that a model has the node and its function.

    Raises:
        ArtifactError: it has not, as after `strip_function` or `inline_function`.
    """
    if not nodes_of(model):
        raise ArtifactError(
            f"model: expected a node {NAME}, found none; its function was inlined already, or the file is "
            "not a rectifier: export it again from the checkpoint"
        )
    if not functions_of(model):
        raise ArtifactError(
            f"model: expected a function that defines {NAME}, found none; it was stripped already: export "
            "the file again from the checkpoint"
        )
