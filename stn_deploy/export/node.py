"""The node ``stn_deploy::ThetaGridSample``: how it is traced, and its ONNX function.

The function makes the file run wherever standard operators run; an engine that has our fused kernel takes the
node instead (TensorRT: attributes plugin_namespace and plugin_version).
"""

from __future__ import annotations

import torch
from onnx import AttributeProto, FunctionProto, NodeProto, helper
from torch import Tensor

from stn_deploy.geometry.convention import Size
from stn_deploy.stn import theta_grid_sample

DOMAIN = "stn_deploy"
OP_TYPE = "ThetaGridSample"
OPSET = 18

NODE_ATTRIBUTES: dict[str, int | str] = {
    "interpolation": 1,
    "padding": 0,
    "align_corners": 0,
    "homogeneous": 0,
    "plugin_namespace": DOMAIN,
    "plugin_version": "1",
}
"""interpolation: 0 nearest, 1 bilinear, 2 bicubic. padding: 0 border, 1 zeros, 2 reflection."""

_LARGEST = 3.0e38
"""A sum of absolute coordinates above this is infinite or NaN."""


def theta_grid_sample_node(
    source: Tensor, basis: Tensor, theta: Tensor, extents: Tensor, output_size: Size
) -> Tensor:
    """`stn_deploy.stn.theta_grid_sample`, which becomes one node while the exporter traces."""
    if not torch.onnx.is_in_onnx_export():
        return theta_grid_sample(source, basis, theta, extents, output_size)
    return torch.onnx.ops.symbolic(
        f"{DOMAIN}::{OP_TYPE}",
        (source, basis, theta, extents),
        {"output_size": list(output_size), **NODE_ATTRIBUTES},
        dtype=source.dtype,
        shape=(source.shape[0], source.shape[1], *output_size),
        version=1,
    )


def theta_grid_sample_function() -> FunctionProto:
    """The operator out of standard operators of opset 18: bilinear, border.

    Inputs: source (N, C, H, W), basis (P, K), theta (N, K, 2), extents (N, 2); attribute output_size: (h, w).
    Output: (N, C, h, w), 0 where a coordinate is NaN or infinite.
    Formal names carry a prefix: TensorRT's parser confuses them with outer tensors of the same name.
    """

    def constant(name: str, value: float | list[int]) -> NodeProto:
        if isinstance(value, list):
            return helper.make_node("Constant", [], [name], value_ints=value)
        return helper.make_node("Constant", [], [name], value_float=value)

    # A constant whose value is the node's attribute.
    size = helper.make_node("Constant", [], ["stn__size"])
    size.attribute.append(
        AttributeProto(name="value_ints", ref_attr_name="output_size", type=AttributeProto.INTS)
    )
    node = helper.make_node
    body = [
        node("MatMul", ["stn__basis", "stn__theta"], ["stn__points"]),
        # NaN and infinity spread to the sum, and no comparison with NaN holds.
        node("Abs", ["stn__points"], ["stn__absolute"]),
        constant("stn__last", [-1]),
        node("ReduceSum", ["stn__absolute", "stn__last"], ["stn__sum"], keepdims=1),
        constant("stn__largest", _LARGEST),
        node("LessOrEqual", ["stn__sum", "stn__largest"], ["stn__finite"]),
        constant("stn__zero", 0.0),
        node("Where", ["stn__finite", "stn__points", "stn__zero"], ["stn__safe"]),
        # Over the valid part of the canvas: clamp to it, then scale by the extent (height, width) -> (x, y).
        constant("stn__minus_one", -1.0),
        constant("stn__one", 1.0),
        node("Max", ["stn__safe", "stn__minus_one"], ["stn__above"]),
        node("Min", ["stn__above", "stn__one"], ["stn__inside"]),
        constant("stn__swap", [1, 0]),
        node("Gather", ["stn__extents", "stn__swap"], ["stn__xy"], axis=1),
        constant("stn__axis", [1]),
        node("Unsqueeze", ["stn__xy", "stn__axis"], ["stn__scale"]),
        node("Add", ["stn__inside", "stn__one"], ["stn__from_edge"]),
        node("Mul", ["stn__from_edge", "stn__scale"], ["stn__on_canvas"]),
        node("Sub", ["stn__on_canvas", "stn__one"], ["stn__centred"]),
        size,
        constant("stn__batch", [0]),
        constant("stn__two", [2]),
        constant("stn__single", [1]),
        node("Concat", ["stn__batch", "stn__size", "stn__two"], ["stn__grid_shape"], axis=0),
        node("Reshape", ["stn__centred", "stn__grid_shape"], ["stn__grid"]),
        node(
            "GridSample",
            ["stn__source", "stn__grid"],
            ["stn__sampled"],
            mode="bilinear",
            padding_mode="border",
            align_corners=0,
        ),
        node("Concat", ["stn__batch", "stn__single", "stn__size"], ["stn__mask_shape"], axis=0),
        node("Reshape", ["stn__finite", "stn__mask_shape"], ["stn__mask"]),
        node("Where", ["stn__mask", "stn__sampled", "stn__zero"], ["stn__output"]),
    ]
    return helper.make_function(
        DOMAIN,
        OP_TYPE,
        ["stn__source", "stn__basis", "stn__theta", "stn__extents"],
        ["stn__output"],
        body,
        [helper.make_opsetid("", OPSET)],
        attributes=["output_size"],
        attribute_protos=[helper.make_attribute(*item) for item in NODE_ATTRIBUTES.items()],
    )
