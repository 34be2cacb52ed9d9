"""Every other kind of sampling: the pixels that a sample reads are gathered and weighed one by one.

GridSample will not do: of volumes there is none in opset 18, TensorRT had none before 11.2 and its later
``linear`` was read as nearest until then; of images, its taps know nothing of a padded canvas.
"""

from __future__ import annotations

from onnx import FunctionProto, TensorProto

from stn_deploy.export.node.body import Body, write_mask, write_phase, write_points, write_valid_size
from stn_deploy.export.node.kind import NodeKind
from stn_deploy.geometry.sampling import FAR

_TAPS = {"nearest": 1, "bilinear": 2, "trilinear": 2, "bicubic": 4}
_KEYS = -0.75
"""Keys' a, as in `stn_deploy.stn.sample`."""


def taps_function(kind: NodeKind, opset: int) -> FunctionProto:
    """The function of a node of any kind, for any source: pixels gathered by number.

    The numbers of the pixels are whole and exact, however large the volume.
    """
    body = Body()
    write_points(body, kind)
    body.constant("one", 1.0)
    body.constant("half", 0.5)
    body.constant("least", -FAR)
    body.constant("most", FAR)
    write_valid_size(body, kind)
    body.op("Clip", "safe", "least", "most", to="near")
    body.op("Add", "near", "one", to="from_edge")
    body.op("Mul", "valid", "half", to="halves")
    body.op("Mul", "from_edge", "halves", to="edge_pixels")  # pixels from the edge
    _write_taps(body, kind)
    _write_inside(body, kind)
    _write_numbers_and_weights(body, kind)
    _write_gathered(body)
    body.output_size()
    body.constant("batch", [0])
    body.constant("single", [1])
    body.op("Concat", "batch", "batch", "size", to="output_shape", axis=0)
    body.op("Reshape", "planes", "output_shape", to="sampled")
    write_mask(body, "sampled")
    return body.function(kind, opset)


def _write_taps(body: Body, kind: NodeKind) -> None:
    """``taps``: which pixels a sample reads along each axis, and ``weights``; (N, P, axes, T) each."""
    count = _TAPS[kind.interpolation]
    if count == 1:
        body.op("Floor", "edge_pixels", to="first")
    else:
        body.op("Sub", "edge_pixels", "half", to="centre_pixels")
        body.op("Floor", "centre_pixels", to="first")
        body.op("Sub", "centre_pixels", "first", to="fraction")
        body.op("Unsqueeze", "fraction", "last", to="parts")
    body.op("Unsqueeze", "first", "last", to="firsts")
    low = -1 if count == 4 else 0
    body.op("Constant", to="offsets", value_floats=[float(low + index) for index in range(count)])
    body.op("Add", "firsts", "offsets", to="taps")
    if count == 1:
        body.op("Sub", "firsts", "firsts", to="nothing")
        body.op("Add", "nothing", "one", to="weights")
    elif count == 2:
        body.op("Sub", "one", "parts", to="rest")
        body.op("Concat", "rest", "parts", to="weights", axis=3)
    else:
        _write_cubic(body)


def _write_cubic(body: Body) -> None:
    """``weights`` of four taps. Source: Keys 1981, Cubic Convolution Interpolation, equation 4."""
    body.op("Sub", "parts", "offsets", to="offset_distances")
    body.op("Abs", "offset_distances", to="s")
    a = _KEYS
    for name, (c3, c2, c1, c0) in {
        "inner": (a + 2, -(a + 3), 0.0, 1.0),
        "outer": (a, -5 * a, 8 * a, -4 * a),
    }.items():
        value = body.constant(f"{name}_3", c3)
        for power, coefficient in ((2, c2), (1, c1), (0, c0)):
            body.op("Mul", value, "s", to=f"{name}_times_{power}")
            body.constant(f"{name}_{power}", coefficient)
            value = body.op("Add", f"{name}_times_{power}", f"{name}_{power}", to=f"{name}_sum_{power}")
    body.op("LessOrEqual", "s", "one", to="is_inner")
    body.op("Where", "is_inner", "inner_sum_0", "outer_sum_0", to="weights")


def _write_inside(body: Body, kind: NodeKind) -> None:
    """``inside``: the taps as the padding says, all within the image; ``kept``: their weights."""
    body.op("Sub", "valid", "one", to="last_pixels")
    body.op("Unsqueeze", "last_pixels", "last", to="ends")
    taps, kept = "taps", "weights"
    if kind.padding == "reflection":
        body.op("Unsqueeze", "valid", "last", to="counts")
        body.op("Add", "counts", "counts", to="period")
        write_phase(body, "taps")
        body.op("Sub", "period", "one", to="mirror")
        body.op("Sub", "mirror", "phase", to="mirrored")
        taps = body.op("Min", "phase", "mirrored", to="reflected")
    body.op("Max", taps, "zero", to="from_first")
    body.op("Min", "from_first", "ends", to="inside")
    if kind.padding == "zeros":
        body.op("Equal", "inside", "taps", to="is_inside")
        kept = body.op("Where", "is_inside", "weights", "zero", to="inside_weights")
    body.op("Identity", kept, to="kept")


def _write_numbers_and_weights(body: Body, kind: NodeKind) -> None:
    """``numbers`` of the pixels in the flattened canvas, (N, P, T^axes), and ``products``, their weights."""
    body.cast("inside", TensorProto.INT64, to="whole_taps")
    for axis in range(kind.dimensions):
        letter = "xyz"[axis]
        body.op("Constant", to=f"{letter}_axis", value_int=axis)
        # x runs along the last axis, y along the one before ...
        others = [2 + place for place in range(kind.dimensions) if place != kind.dimensions - 1 - axis]
        body.constant(f"{letter}_others", others)
        for name, values in (("number", "whole_taps"), ("weight", "kept")):
            body.op("Gather", values, f"{letter}_axis", to=f"{letter}_{name}_row", axis=2)
            body.op("Unsqueeze", f"{letter}_{name}_row", f"{letter}_others", to=f"{letter}_{name}")
    number, weight = "x_number", "x_weight"
    stride = ""
    for axis in range(1, kind.dimensions):
        letter = "xyz"[axis]
        body.constant(f"{letter}_before", [kind.dimensions - axis])
        length = body.op("Gather", "canvas", f"{letter}_before", to=f"{letter}_length")
        stride = body.op("Mul", stride, length, to=f"{letter}_stride") if stride else length
        body.op("Mul", f"{letter}_number", stride, to=f"{letter}_passed")
        number = body.op("Add", number, f"{letter}_passed", to=f"{letter}_sum")
        weight = body.op("Mul", weight, f"{letter}_weight", to=f"{letter}_product")
    body.constant("taps_shape", [0, 0, _TAPS[kind.interpolation] ** kind.dimensions])
    body.op("Reshape", number, "taps_shape", to="numbers")
    body.op("Reshape", weight, "taps_shape", to="products")


def _write_gathered(body: Body) -> None:
    """``planes`` (N, C, P): the weighted sum of the gathered pixels."""
    body.op("ReduceProd", "canvas", to="pixel_count", keepdims=1)
    body.op("Shape", "source", to="batch_and_channels", start=0, end=2)
    body.op("Concat", "batch_and_channels", "pixel_count", to="flat_shape", axis=0)
    body.op("Reshape", "source", "flat_shape", to="flat")
    body.op("Transpose", "flat", to="pixel_rows", perm=[0, 2, 1])
    body.op("Unsqueeze", "numbers", "last", to="places")
    body.op("GatherND", "pixel_rows", "places", to="read", batch_dims=1)
    body.op("Unsqueeze", "products", "last", to="factors")
    body.op("Mul", "read", "factors", to="terms")
    body.constant("over_taps", [2])
    body.op("ReduceSum", "terms", "over_taps", to="points_by_channel", keepdims=0)
    body.op("Transpose", "points_by_channel", to="planes", perm=[0, 2, 1])
