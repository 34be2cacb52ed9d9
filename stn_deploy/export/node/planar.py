"""Bilinear sampling of images: GridSample on the part of the canvas that an image fills."""

from __future__ import annotations

from onnx import FunctionProto

from stn_deploy.export.node.body import Body, write_mask, write_phase, write_points, write_valid_size
from stn_deploy.export.node.kind import NodeKind


def planar_function(kind: NodeKind, opset: int) -> FunctionProto:
    """The function of a bilinear node on images.

    GridSample always pads with the border of the valid part. Reflection is a matter of where to look, and
    zeros of how much: past the outermost pixel centre a bilinear sample loses weight linearly.
    """
    body = Body()
    write_points(body, kind)
    body.constant("minus_one", -1.0)
    body.constant("one", 1.0)
    looked = _reflected(body) if kind.padding == "reflection" else "safe"
    # Over the valid part of the canvas: clamp to it, then scale by the extent (height, width) -> (x, y).
    body.op("Max", looked, "minus_one", to="above")
    body.op("Min", "above", "one", to="inside")
    body.constant("swap", [1, 0])
    body.op("Gather", "extents", "swap", to="xy", axis=1)
    body.constant("axis", [1])
    body.op("Unsqueeze", "xy", "axis", to="scale")
    body.op("Add", "inside", "one", to="from_edge")
    body.op("Mul", "from_edge", "scale", to="on_canvas")
    body.op("Sub", "on_canvas", "one", to="centred")
    body.output_size()
    body.constant("batch", [0])
    body.constant("two", [2])
    body.constant("single", [1])
    body.op("Concat", "batch", "size", "two", to="grid_shape", axis=0)
    body.op("Reshape", "centred", "grid_shape", to="grid")
    body.op(
        "GridSample", "source", "grid", to="sampled", mode="bilinear", padding_mode="border", align_corners=0
    )
    sampled = _weighted_by_coverage(body, kind) if kind.padding == "zeros" else "sampled"
    write_mask(body, sampled)
    return body.function(kind, opset)


def _reflected(body: Body) -> str:
    """Positions brought back between the edges, as between two mirrors."""
    body.constant("period", 2.0)
    body.op("Add", "safe", "one", to="from_left")
    body.op("Div", "from_left", "period", to="images")
    write_phase(body, "images")
    body.op("Sub", "phase", "one", to="folded")
    body.op("Abs", "folded", to="distance")
    body.op("Sub", "one", "distance", to="fraction")
    body.op("Mul", "fraction", "period", to="doubled")
    return body.op("Sub", "doubled", "one", to="reflected")


def _weighted_by_coverage(body: Body, kind: NodeKind) -> str:
    """Border samples times the part of the bilinear kernel that lies within the image."""
    write_valid_size(body, kind)
    body.constant("half", 0.5)
    body.op("Add", "safe", "one", to="shifted")
    body.op("Mul", "shifted", "valid", to="doubled_pixels")
    body.op("Mul", "doubled_pixels", "half", to="pixels")
    body.op("Add", "pixels", "half", to="from_first")  # 1 on the centre of the first pixel, 0 a pixel before
    body.op("Sub", "valid", "pixels", to="to_edge")
    body.op("Add", "to_edge", "half", to="from_last")
    body.op("Min", "from_first", "from_last", to="nearer")
    body.op("Clip", "nearer", "zero", "one", to="covered")
    body.op("ReduceProd", "covered", "two", to="coverage", keepdims=1)
    body.op("Concat", "batch", "single", "size", to="weight_shape", axis=0)
    body.op("Reshape", "coverage", "weight_shape", to="weight")
    return body.op("Mul", "sampled", "weight", to="weighted")
