"""The localisation network in half precision; thumbnail, grid and sampling stay in float32."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from stn_deploy.errors import ArtifactError
from stn_deploy.export.passes.layers import expect_float32, network_of

RECTIFIED = "rectified"
_LARGEST = float(np.finfo(np.float16).max)


def float16(model: ModelProto) -> ModelProto:
    """The model with its localisation network, and its output ``rectified``, in float16.

    Weights are stored as float16, and no node mixes types, as strongly typed TensorRT wants it. In float32
    stay: the thumbnail and its normalisation, whose sums overflow half; theta, score and all geometry; grid,
    source and sampling, because a float16 grid is off by up to 1/8 pixel on a canvas 1024 wide.

    Raises:
        ArtifactError: there is no network in float32, or it has a weight beyond the range of float16.
    """
    expect_float32(model)
    half = ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    network = {node.output[0] for node in network_of(half)}
    inside = [node for node in graph.node if node.output[0] in network]
    outside = [node for node in graph.node if node.output[0] not in network]
    made = {name for node in inside for name in node.output}
    floats = {item.name: item for item in graph.initializer if item.data_type == TensorProto.FLOAT}

    renamed = _halved_initializers(graph, floats, inside, outside)
    numbers = _float_tensors(model)
    down = sorted({name for node in inside for name in node.input} & numbers - made)
    read_outside = {name for node in outside for name in node.input}
    up = sorted(made & numbers & read_outside)
    renamed |= {name: f"{name}_float16" for name in (*down, *up)}
    for node in inside:
        _rename(node.input, renamed)
        _rename(node.output, renamed)
    for value in graph.value_info:  # a frozen file describes every tensor
        if value.name in made & numbers - set(up):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    casts = [_cast(name, renamed[name], TensorProto.FLOAT16) for name in down]
    casts += [_cast(renamed[name], name, TensorProto.FLOAT) for name in up]
    _insert(graph, casts)
    _rectified_in_half(graph)
    return half


def _halved_initializers(
    graph: GraphProto, floats: dict[str, TensorProto], inside: list[NodeProto], outside: list[NodeProto]
) -> dict[str, str]:
    """Convert what the network holds; what others read too is copied, under the name that is returned."""
    copies = {}
    shared = {name for node in outside for name in node.input}
    for name in sorted({name for node in inside for name in node.input} & floats.keys()):
        values = numpy_helper.to_array(floats[name])
        if not np.abs(values).max(initial=0) <= _LARGEST:  # NaN, too
            raise ArtifactError(
                f"model: {name}: expected weights up to {_LARGEST:.0f} in size for float16, got "
                f"{np.abs(values).max()}; keep float32, or train again with weight decay"
            )
        if name in shared:
            copies[name] = f"{name}_float16"
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), copies[name]))
        else:
            floats[name].CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
    return copies


def _float_tensors(model: ModelProto) -> set[str]:
    """The computed tensors of float32: no shapes, no indices."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    return {
        value.name
        for value in inferred.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }


def _rectified_in_half(graph: GraphProto) -> None:
    (output,) = (value for value in graph.output if value.name == RECTIFIED)
    output.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in graph.node:
        _rename(node.output, {RECTIFIED: f"{RECTIFIED}_float32"})
    graph.node.append(_cast(f"{RECTIFIED}_float32", RECTIFIED, TensorProto.FLOAT16))


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)


def _rename(names: list[str], renamed: dict[str, str]) -> None:
    for place, name in enumerate(names):
        names[place] = renamed.get(name, name)


def _insert(graph: GraphProto, nodes: list[NodeProto]) -> None:
    """Put each node right behind the one that makes its input."""
    ordered = list(graph.node)
    for node in nodes:
        makers = [place for place, other in enumerate(ordered) if node.input[0] in other.output]
        ordered.insert(makers[0] + 1 if makers else 0, node)
    del graph.node[:]
    graph.node.extend(ordered)
