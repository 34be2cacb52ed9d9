"""Fix batch and canvas, for engines that build faster, or only, with static shapes."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from stn_deploy.errors import ArgumentError, ArtifactError
from stn_deploy.geometry.convention import Size

BATCH, HEIGHT, WIDTH = "n", "H", "W"
"""Names of the dynamic dimensions of an exported file."""
_LARGEST = 1 << 15


def freeze(model: ModelProto, *, batch: int | None = None, canvas: Size | None = None) -> ModelProto:
    """The model with a fixed batch, a fixed canvas, or both.

    Args:
        batch: number of images, 1 to 32768; None leaves it dynamic.
        canvas: height and width of the padded canvas, pixels, each 1 to 32768; None leaves it dynamic.
    Raises:
        ArgumentError: nothing to fix, or a size out of range.
        ArtifactError: a dimension that is to be fixed is not dynamic.
    """
    values = checked_dimensions(batch, canvas)
    frozen = ModelProto()
    frozen.CopyFrom(model)
    found = {dim.dim_param for value in frozen.graph.input for dim in value.type.tensor_type.shape.dim}
    dynamic = found - {""}
    for name in values:
        if name not in dynamic:
            raise ArtifactError(
                f"model: expected a dynamic dimension {name}, found {', '.join(sorted(dynamic)) or 'none'}; "
                "it was frozen already, or the file is not a rectifier"
            )
    for value in (*frozen.graph.input, *frozen.graph.output, *frozen.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in values:
                dim.dim_value = values[dim.dim_param]
    return onnx.shape_inference.infer_shapes(frozen, strict_mode=True, data_prop=True)


def checked_dimensions(batch: object, canvas: object) -> dict[str, int]:
    """The dimensions to fix, by name; ArgumentError for one out of range, or for none."""
    values = {} if batch is None else {BATCH: batch}
    if canvas is not None:
        if not isinstance(canvas, tuple) or len(canvas) != 2:
            raise ArgumentError(f"freeze: canvas: expected (height, width) in pixels, got {canvas!r}")
        values |= {HEIGHT: canvas[0], WIDTH: canvas[1]}
    if not values:
        raise ArgumentError("freeze: expected a batch, a canvas or both, got neither")
    checked = {}
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
            what = "batch" if name == BATCH else "canvas"
            raise ArgumentError(f"{what}: expected 1 to {_LARGEST}, got {value!r}")
        checked[name] = value
    return checked
