"""Apply passes to a file: opened with its checks, signed anew, written whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from stn_deploy.artifact import METADATA_KEY, RectifierSpec, read_artifact, seal, wire
from stn_deploy.data import write_output

Pass = Callable[[ModelProto], ModelProto]

IR_VERSION = 9
"""Functions with default attributes need it, and ONNX Runtime 1.17 reads none that is newer."""


def rewrite(source: Path, target: Path, *passes: Pass) -> RectifierSpec:
    """Write a changed copy of an exported rectifier; the same file and passes give the same bytes.

    Args:
        source: an exported .onnx file. target: of the copy; complete or absent, never half.
        passes: applied in this order.
    Returns:
        the spec in the copy: that of the source, with its own digest.
    Raises:
        ArtifactError: the source is not an exported rectifier, or a pass does not fit it.
        OutputError: the copy cannot be written.
    """
    data, spec = read_artifact(source)
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    for change in passes:
        model = change(model)
    return write_artifact(model, spec, target)


def precision_of(model: ModelProto) -> str:
    """What the network of a model computes in: "float32", "float16" or "int8"."""
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        return "int8"
    half = any(item.data_type == TensorProto.FLOAT16 for item in model.graph.initializer)
    return "float16" if half else "float32"


def write_artifact(model: ModelProto, spec: RectifierSpec, path: Path) -> RectifierSpec:
    """Sign, check and write a model without metadata; the spec in the file, with the precision that it has.

    Raises:
        OutputError: the file cannot be written.
    """
    model.ir_version = IR_VERSION
    data = model.SerializeToString(deterministic=True)
    spec = dataclasses.replace(spec, precision=precision_of(model), digest="")
    spec = dataclasses.replace(spec, digest=seal(data, spec.to_json()))
    data = wire.with_metadata(data, METADATA_KEY, spec.to_json())
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    write_output(path, data)
    return spec
