"""What the tests of changed files ask about an ONNX graph."""

from __future__ import annotations

import onnx
from onnx import ModelProto, NodeProto, TensorProto


def element_types(model: ModelProto) -> dict[str, int]:
    """The element type of every tensor: inputs, weights and all that is computed, by strict inference."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    graph = inferred.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    found |= {item.name: item.data_type for item in graph.initializer}
    missing = {name for node in graph.node for name in node.output} - found.keys()
    assert not missing, missing
    return found


def float_types(model: ModelProto, node: NodeProto) -> set[int]:
    """Which of float32 and float16 a node reads and gives."""
    types = element_types(model)
    return {types[name] for name in (*node.input, *node.output) if name} & {
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
    }


def nodes(model: ModelProto, *kinds: str) -> list[NodeProto]:
    """The nodes of some operators."""
    return [node for node in model.graph.node if node.op_type in kinds]
