"""Give the nodes of a traced model their functions."""

from __future__ import annotations

from collections import Counter

from onnx import FunctionProto, ModelProto, inliner

from stn_deploy.export.node.kind import BILINEAR_BORDER, DOMAIN, OP_TYPE, OPSET, NodeKind
from stn_deploy.export.node.planar import planar_function
from stn_deploy.export.node.taps import taps_function

_PASSING = "stn_deploy.inline"
"""Domain of the functions that are gone when the model is written."""


def theta_grid_sample_function(kind: NodeKind = BILINEAR_BORDER, opset: int = OPSET) -> FunctionProto:
    """The node of one kind out of standard operators of opset 18.

    Inputs: source (N, C, H, W), basis (P, K), theta (N, K, 2), extents (N, 2); attribute output_size: (h, w).
    Of volumes source (N, C, D, H, W), theta (N, K, 3), extents (N, 3), output_size (d, h, w). Of a
    homogeneous kind theta has one more column, by which the others are divided.
    Output: (N, C, h, w) or (N, C, d, h, w), 0 where a coordinate is NaN or infinite.
    """
    if kind.dimensions == 2 and kind.interpolation == "bilinear":
        return planar_function(kind, opset)
    return taps_function(kind, opset)


def define_nodes(model: ModelProto) -> ModelProto:
    """The model with a function for its nodes ThetaGridSample.

    TensorRT's parser tells functions apart by name alone and takes the first one for all nodes of its name,
    silently. So the most frequent kind of node has the function, and nodes of other kinds are replaced by
    the operators of theirs.
    """
    defined = ModelProto()
    defined.CopyFrom(model)
    nodes = [node for node in defined.graph.node if (node.domain, node.op_type) == (DOMAIN, OP_TYPE)]
    kinds = [kind for kind, _ in Counter(NodeKind.of(node) for node in nodes).most_common()]
    if not kinds:
        return defined
    names = {kind: f"{OP_TYPE}{index}" for index, kind in enumerate(kinds[1:])}
    for node in nodes:
        if (kind := NodeKind.of(node)) in names:
            node.domain, node.op_type = _PASSING, names[kind]
    (opset,) = (each.version for each in model.opset_import if each.domain == "")
    defined.functions.append(theta_grid_sample_function(kinds[0], opset))
    if not names:
        return defined
    for kind, name in names.items():
        function = theta_grid_sample_function(kind, opset)
        function.domain, function.name = _PASSING, name
        defined.functions.append(function)
    defined.opset_import.add(domain=_PASSING, version=1)
    inlined: ModelProto = inliner.inline_selected_functions(
        defined, [(_PASSING, name) for name in names.values()]
    )
    for opset in [each for each in inlined.opset_import if each.domain == _PASSING]:
        inlined.opset_import.remove(opset)
    return inlined
