"""INT8 weights with float activations, for an engine that has no INT8 arithmetic: TensorRT-RTX before 1.7."""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from stn_deploy.errors import ArtifactError


def weights_only(model: ModelProto) -> ModelProto:
    """The model without the quantisers of what it computes; weights stay INT8 and are made float when read.

    It is as small as before, and nearer to float32, for activations are no longer rounded.

    Raises:
        ArtifactError: it has no quantised activation.
    """
    makers = {node.output[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    if not makers:
        raise ArtifactError("model: expected quantised activations, found none; it is no INT8 file")
    lighter = ModelProto()
    lighter.CopyFrom(model)
    kept: list[NodeProto] = []
    restored: dict[str, str] = {}
    for node in lighter.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in makers:
            source = makers[node.input[0]].input[0]
            restored[node.output[0]] = restored.get(source, source)
        elif node.op_type != "QuantizeLinear":
            for place, name in enumerate(node.input):
                node.input[place] = restored.get(name, name)
            kept.append(node)
    del lighter.graph.node[:]
    lighter.graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    for item in [each for each in lighter.graph.initializer if each.name not in read]:
        lighter.graph.initializer.remove(item)
    for value in [each for each in lighter.graph.value_info if each.name in restored or each.name in makers]:
        lighter.graph.value_info.remove(value)
    return lighter
