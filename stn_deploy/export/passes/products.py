"""Matrix products of float32 as convolutions and sums, for an engine that has none for its GPU.

TensorRT-RTX 1.7 refuses "FP32 GEMM" on Turing (compute capability 7.5); convolutions, products of elements
and sums it takes.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from stn_deploy.errors import ArtifactError


def spell_out_products(model: ModelProto) -> ModelProto:
    """The model with each Gemm and MatMul of float32 written without one; the same sums, in another order.

    A Gemm with constant weights becomes a convolution over one pixel, any other product
    C[m, n] = sum over k of A[m, k] B[k, n] the sum over an axis of broadcast products.

    Raises:
        ArtifactError: functions are not inlined, or a product has a vector for a factor.
    """
    if model.functions:
        raise ArtifactError("model: expected its functions inlined, found some; apply inline_function first")
    spelled = ModelProto()
    spelled.CopyFrom(model)
    kinds, ranks = _described(model)
    constants = {item.name: item for item in spelled.graph.initializer}
    nodes: list[NodeProto] = []
    for node in spelled.graph.node:
        if node.op_type not in ("Gemm", "MatMul") or kinds.get(node.output[0]) != TensorProto.FLOAT:
            nodes.append(node)
        elif node.op_type == "Gemm":
            nodes += _gemm(spelled, node, constants)
        else:
            if min(ranks.get(name, 2) for name in node.input) < 2:
                raise ArtifactError(f"model: {node.name}: expected matrices as factors, found a vector")
            nodes += _product(spelled, node.input[0], node.input[1], node.output[0])
    del spelled.graph.node[:]
    spelled.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    for name, item in constants.items():
        if name not in read:  # weights that are kernels now
            spelled.graph.initializer.remove(item)
    return spelled


def _described(model: ModelProto) -> tuple[dict[str, int], dict[str, int]]:
    """Element type and rank of each tensor."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
    return kinds, ranks | {item.name: len(item.dims) for item in graph.initializer}


def _gemm(model: ModelProto, node: NodeProto, constants: dict[str, TensorProto]) -> list[NodeProto]:
    """alpha A' B' + beta C, where a prime may transpose."""
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    left, right, name = node.input[0], node.input[1], node.output[0]
    nodes = []
    if values.get("transA"):
        nodes.append(helper.make_node("Transpose", [left], [f"{name}__left"], perm=[1, 0]))
        left = f"{name}__left"
    bias = node.input[2] if len(node.input) > 2 else ""
    scaled = (values.get("alpha", 1.0), values.get("beta", 1.0)) != (1.0, 1.0)
    if right in constants and not scaled:
        weights = numpy_helper.to_array(constants[right])
        return nodes + _convolution(model, left, weights if values.get("transB") else weights.T, bias, name)
    if values.get("transB"):
        nodes.append(helper.make_node("Transpose", [right], [f"{name}__right"], perm=[1, 0]))
        right = f"{name}__right"
    nodes += _product(model, left, right, f"{name}__product")
    alpha = _constant(model, f"{name}__alpha", np.array(values.get("alpha", 1.0), np.float32))
    nodes.append(helper.make_node("Mul", [f"{name}__product", alpha], [f"{name}__scaled" if bias else name]))
    if bias:
        beta = _constant(model, f"{name}__beta", np.array(values.get("beta", 1.0), np.float32))
        nodes.append(helper.make_node("Mul", [bias, beta], [f"{name}__bias"]))
        nodes.append(helper.make_node("Add", [f"{name}__scaled", f"{name}__bias"], [name]))
    return nodes


def _convolution(
    model: ModelProto, left: str, weights: NDArray[np.float32], bias: str, name: str
) -> list[NodeProto]:
    """(n, k) as an image of one pixel with k channels; weights: (m, k)."""
    kernel = _constant(model, f"{name}__kernel", np.ascontiguousarray(weights[:, :, None, None]))
    pixel = _constant(model, f"{name}__pixel", np.array([2, 3], np.int64))
    return [
        helper.make_node("Unsqueeze", [left, pixel], [f"{name}__image"]),
        helper.make_node("Conv", [f"{name}__image", kernel], [f"{name}__made"], kernel_shape=[1, 1]),
        helper.make_node("Squeeze", [f"{name}__made", pixel], [f"{name}__flat" if bias else name]),
        *([helper.make_node("Add", [f"{name}__flat", bias], [name])] if bias else []),
    ]


def _product(model: ModelProto, left: str, right: str, name: str) -> list[NodeProto]:
    """(..., m, k) and (..., k, n) -> (..., m, n)."""
    last = _constant(model, f"{name}__last", np.array([-1], np.int64))
    third = _constant(model, f"{name}__third", np.array([-3], np.int64))
    summed = _constant(model, f"{name}__summed", np.array([-2], np.int64))
    return [
        helper.make_node("Unsqueeze", [left, last], [f"{name}__rows"]),
        helper.make_node("Unsqueeze", [right, third], [f"{name}__columns"]),
        helper.make_node("Mul", [f"{name}__rows", f"{name}__columns"], [f"{name}__elements"]),
        helper.make_node("ReduceSum", [f"{name}__elements", summed], [name], keepdims=0),
    ]


def _constant(model: ModelProto, name: str, values: NDArray[np.generic]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name
