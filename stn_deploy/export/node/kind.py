"""What a node ThetaGridSample does: its interpolation, its padding, and in how many dimensions."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import NodeProto, helper

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry.sampling import MODES, PADDINGS, check_choice

DOMAIN = "stn_deploy"
OP_TYPE = "ThetaGridSample"
OPSET = 18

_INTERPOLATION = {"nearest": 0, "bilinear": 1, "trilinear": 1, "bicubic": 2}
_PADDING = {"border": 0, "zeros": 1, "reflection": 2}


@dataclass(frozen=True, kw_only=True)
class NodeKind:
    """Settings of a node; nodes of one kind share a function.

    dimensions: 2 for images, 3 for volumes.
    interpolation: nearest, bilinear or bicubic; of volumes nearest or trilinear.
    padding: border, zeros or reflection.
    homogeneous: whether theta's last column divides the others.
    """

    dimensions: int = 2
    interpolation: str = "bilinear"
    padding: str = "border"
    homogeneous: bool = False

    def __post_init__(self) -> None:
        if self.dimensions not in MODES:
            raise ArgumentError(f"dimensions: expected 2 or 3, got {self.dimensions!r}")
        check_choice("interpolation", self.interpolation, MODES[self.dimensions])
        check_choice("padding", self.padding, PADDINGS)

    @property
    def attributes(self) -> dict[str, int | str]:
        """The node's attributes but ``output_size``: codes, because TensorRT's plugins read numbers best.

        interpolation: 0 nearest, 1 linear, 2 cubic. padding: 0 border, 1 zeros, 2 reflection.
        """
        return {
            "interpolation": _INTERPOLATION[self.interpolation],
            "padding": _PADDING[self.padding],
            "align_corners": 0,
            "homogeneous": int(self.homogeneous),
            "plugin_namespace": DOMAIN,
            "plugin_version": "1",
        }

    @classmethod
    def of(cls, node: NodeProto) -> NodeKind:
        """The kind of a node, from its attributes and the dimensions of its output."""
        values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        dimensions = len(values["output_size"])
        interpolations = {_INTERPOLATION[name]: name for name in MODES[dimensions]}
        paddings = {code: name for name, code in _PADDING.items()}
        return cls(
            dimensions=dimensions,
            interpolation=interpolations[values["interpolation"]],
            padding=paddings[values["padding"]],
            homogeneous=bool(values["homogeneous"]),
        )


BILINEAR_BORDER = NodeKind()
"""The kind of the text rectifier."""
