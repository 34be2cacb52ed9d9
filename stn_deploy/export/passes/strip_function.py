"""Take the function away, so that a TensorRT older than 10.7 asks for the plugin."""

from __future__ import annotations

from onnx import ModelProto

from stn_deploy.export.passes.nodes import expect_function, functions_of


def strip_function(model: ModelProto) -> ModelProto:
    """The model without the function of ThetaGridSample; its nodes stay.

    TensorRT 10.0 to 10.6 takes the function even where the plugin is loaded. The result runs only in an
    engine that has the plugin; ONNX Runtime refuses it.

    Raises:
        ArtifactError: there is no such node, or no function.
    """
    expect_function(model)
    stripped = ModelProto()
    stripped.CopyFrom(model)
    for function in functions_of(stripped):
        stripped.functions.remove(function)
    return stripped
