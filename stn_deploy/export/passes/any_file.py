"""Apply passes to any .onnx file, not only to a rectifier of ours; it is written whole."""

from __future__ import annotations

from pathlib import Path

import onnx

from stn_deploy.artifact import METADATA_KEY
from stn_deploy.data import write_output
from stn_deploy.errors import ArtifactError
from stn_deploy.export.passes.rewrite import Pass

_LARGEST = 2**31 - 1
"""Bytes of a protocol buffer."""


def rewrite_any(source: Path, target: Path, *passes: Pass) -> None:
    """Write a changed copy of a model.

    Args:
        source: an .onnx file; weights in files beside it come into the copy.
        target: of the copy; complete or absent, never half.
        passes: applied in this order.
    Raises:
        ArtifactError: the source is no model, a rectifier of ours, or too large for one file; or a pass does
            not fit it.
        OutputError: the copy cannot be written.
    """
    try:
        model = onnx.load(source)
    except Exception as error:  # protobuf and onnx each have several of their own
        raise ArtifactError(f"{source}: expected an .onnx file, cannot be read as one ({error})") from error
    if not model.graph.node:  # protocol buffers read an empty file as an empty model
        raise ArtifactError(f"{source}: expected an .onnx file with nodes, found none")
    if any(item.key == METADATA_KEY for item in model.metadata_props):
        raise ArtifactError(
            f"{source}: is a rectifier of stn-deploy, which the plugin takes as it is: stn-deploy build "
            "--plugin on"
        )
    _expect_one_file(source, model)
    for change in passes:
        model = change(model)
    _expect_one_file(source, model)
    write_output(target, model.SerializeToString())


def _expect_one_file(source: Path, model: onnx.ModelProto) -> None:
    """Refuse what protocol buffers cannot hold, and ONNX's shape inference, which copies by them, neither."""
    if model.ByteSize() > _LARGEST:
        raise ArtifactError(
            f"{source}: expected a model of at most 2 GB, got {model.ByteSize() / 1e9:.1f} GB"
        )
