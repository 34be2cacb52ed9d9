"""What a file in float16 computes on a GPU, for an engine without half precision.

ONNX Runtime computes float16 on the CPU in float32 and leaves out the roundings between, and with them the
overflow: measured so, half precision looks better than it is.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

_HALF = TensorProto.FLOAT16


def with_roundings(half: ModelProto) -> ModelProto:
    """A model in float16 as one in float32 that rounds each result to float16.

    Sums are added up in float32, as GPUs do it.
    """
    rounded = ModelProto()
    rounded.CopyFrom(half)
    graph = rounded.graph
    inferred = onnx.shape_inference.infer_shapes(half, strict_mode=True, data_prop=True).graph
    halves = {value.name for value in inferred.value_info if value.type.tensor_type.elem_type == _HALF}
    for item in graph.initializer:
        if item.data_type == _HALF:
            values = numpy_helper.to_array(item).astype(np.float32)
            item.CopyFrom(numpy_helper.from_array(values, item.name))
    nodes = []
    for node in graph.node:
        made = [name for name in node.output if name in halves]
        for place, name in enumerate(node.output):
            if name in halves:
                node.output[place] = f"{name}_exact"
        if node.op_type == "Cast" and made:
            node.attribute[0].i = TensorProto.FLOAT
        nodes.append(node)
        for name in made:
            nodes.append(_cast(f"{name}_exact", f"{name}_rounded", _HALF))
            nodes.append(_cast(f"{name}_rounded", name, TensorProto.FLOAT))
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copied)
    return rounded


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"round_{target}", to=kind)
