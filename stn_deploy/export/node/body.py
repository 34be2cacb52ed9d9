"""The nodes of an ONNX function, one line each; and what the functions of all kinds begin with."""

from __future__ import annotations

from typing import Any

from onnx import AttributeProto, FunctionProto, NodeProto, TensorProto, helper

from stn_deploy.export.node.kind import DOMAIN, OP_TYPE, NodeKind

_LARGEST = 3.0e38
"""A sum of absolute coordinates above this is infinite or NaN."""


class Body:
    """Collects nodes. Names carry a prefix: TensorRT's parser confuses them with outer tensors."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def op(self, op_type: str, *inputs: str, to: str, **attributes: Any) -> str:
        """A node of one output; the output's name."""
        names = [f"stn__{name}" if name else "" for name in inputs]
        self.nodes.append(helper.make_node(op_type, names, [f"stn__{to}"], **attributes))
        return to

    def cast(self, name: str, data_type: int, *, to: str) -> str:
        """A tensor in another type of ``onnx.TensorProto``."""
        self.op("Cast", name, to=to)
        self.nodes[-1].attribute.append(helper.make_attribute("to", data_type))
        return to

    def constant(self, to: str, value: float | list[int]) -> str:
        """A float, or a list of whole numbers."""
        if isinstance(value, list):
            return self.op("Constant", to=to, value_ints=value)
        return self.op("Constant", to=to, value_float=value)

    def output_size(self) -> str:
        """A constant whose value is the node's attribute."""
        self.op("Constant", to="size")
        self.nodes[-1].attribute.append(
            AttributeProto(name="value_ints", ref_attr_name="output_size", type=AttributeProto.INTS)
        )
        return "size"

    def function(self, kind: NodeKind, opset: int) -> FunctionProto:
        """The function whose nodes these are. TensorRT wants the opset of the model."""
        return helper.make_function(
            DOMAIN,
            OP_TYPE,
            ["stn__source", "stn__basis", "stn__theta", "stn__extents"],
            ["stn__output"],
            self.nodes,
            [helper.make_opsetid("", opset)],
            attributes=["output_size"],
            attribute_protos=[helper.make_attribute(*item) for item in kind.attributes.items()],
        )


def write_points(body: Body, kind: NodeKind) -> None:
    """basis @ theta -> ``safe``, source coordinates (N, P, 2 or 3), and ``finite``, where they are some.

    Where they are none, ``safe`` is 0. ``finite`` is (N, P, 1); ``zero`` and ``last`` are constants.
    """
    if kind.homogeneous:
        body.op("MatMul", "basis", "theta", to="rows")
        body.constant("axes", list(range(kind.dimensions)))
        body.op("Gather", "rows", "axes", to="dividend", axis=2)
        body.constant("divider", [kind.dimensions])
        body.op("Gather", "rows", "divider", to="divisor", axis=2)
        body.op("Div", "dividend", "divisor", to="points")  # by zero: infinite or NaN, seen below
    else:
        body.op("MatMul", "basis", "theta", to="points")
    # NaN and infinity spread to the sum, and no comparison with NaN holds.
    body.op("Abs", "points", to="absolute")
    body.constant("last", [-1])
    body.op("ReduceSum", "absolute", "last", to="sum", keepdims=1)
    body.constant("largest", _LARGEST)
    body.op("LessOrEqual", "sum", "largest", to="finite")
    body.constant("zero", 0.0)
    body.op("Where", "finite", "points", "zero", to="safe")


def write_phase(body: Body, value: str) -> str:
    """``phase``: what is left of a value past the last whole ``period``, in [0, period)."""
    body.op("Div", value, "period", to="periods")
    body.op("Floor", "periods", to="whole")
    body.op("Mul", "whole", "period", to="passed")
    return body.op("Sub", value, "passed", to="phase")


def write_mask(body: Body, sampled: str) -> None:
    """``output``: what was sampled (N, C, *size), and 0 where ``finite`` does not hold. Needs ``size``."""
    body.op("Concat", "batch", "single", "size", to="mask_shape", axis=0)
    body.op("Reshape", "finite", "mask_shape", to="mask")
    body.op("Where", "mask", sampled, "zero", to="output")


def write_valid_size(body: Body, kind: NodeKind) -> None:
    """``valid``: how many pixels of the canvas each image fills, (N, 1, 2 or 3), in the order x, y(, z)."""
    body.op("Shape", "source", to="canvas", start=2)
    body.cast("canvas", TensorProto.FLOAT, to="canvas_float")
    body.op("Mul", "extents", "canvas_float", to="filled")
    body.op("Round", "filled", to="rounded")
    body.constant("reversed", list(range(kind.dimensions))[::-1])
    body.op("Gather", "rounded", "reversed", to="valid_flat", axis=1)
    body.constant("middle", [1])
    body.op("Unsqueeze", "valid_flat", "middle", to="valid")
