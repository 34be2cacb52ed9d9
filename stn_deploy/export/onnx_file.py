"""Checkpoint -> .onnx: trace, attach the node's function, keep the cut tensors, sign, check, write."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import onnx
import torch

from stn_deploy.artifact import SIZES, THUMBNAILS, RectifierSpec
from stn_deploy.export.graph import RectifierGraph
from stn_deploy.export.node import OPSET, define_nodes
from stn_deploy.export.passes.rewrite import write_artifact
from stn_deploy.export.tracing import trace
from stn_deploy.geometry.convention import Size
from stn_deploy.training.rectifier import AnyRectifier

_OUTPUTS = ["rectified", "theta", "score", THUMBNAILS, SIZES]


def export_rectifier(
    rectifier: AnyRectifier, path: Path, *, output_size: Size | None = None, opset: int = OPSET
) -> RectifierSpec:
    """Write a rectifier as one .onnx file that runs on every engine.

    Args:
        rectifier: trained; exported in evaluation mode, and left in its own.
        path: of the file to write; complete or absent, never half.
        output_size: height and width of the full graph's output, pixels; the spec's by default.
        opset: 18 or 19.
    Returns:
        the spec in the file.
    Raises:
        ArgumentError: an opset out of range.
        ArtifactError: an output size out of range.
        OutputError: the file cannot be written.
    """
    spec = dataclasses.replace(rectifier.spec, output_size=output_size or rectifier.spec.output_size)
    graph = RectifierGraph(copy.deepcopy(rectifier).eval(), spec.output_size)
    model = define_nodes(_trace(graph, opset))
    _keep_between(model)
    model.doc_string = "Straightens text; see metadata stn_deploy.spec."
    return write_artifact(model, spec, path)


def _trace(graph: RectifierGraph, opset: int) -> onnx.ModelProto:
    """The traced graph, batch and canvas dynamic."""
    n, h, w = (torch.export.Dim(name, min=1, max=1 << 15) for name in ("n", "H", "W"))
    # Distinct odd sizes, so that no dimension is taken for another or for a constant.
    example = (torch.zeros(3, 37, 91, 3, dtype=torch.uint8), torch.full((3, 2), 0.75))
    return trace(
        graph,
        example,
        input_names=["images", "extents"],
        output_names=_OUTPUTS,
        dynamic_shapes=({0: n, 1: h, 2: w}, {0: n}),
        opset=opset,
    )


def _keep_between(model: onnx.ModelProto) -> None:
    """Describe the tensors that the split path cuts at, without making them outputs."""
    outputs = list(model.graph.output)
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(value for value in outputs if value.name not in (THUMBNAILS, SIZES))
    model.graph.value_info.extend(value for value in outputs if value.name in (THUMBNAILS, SIZES))
