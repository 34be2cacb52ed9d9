"""A torch module into an ONNX graph; what cannot go is named, with the line that made it."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, fx, nn

from stn_deploy.errors import ArgumentError, StnDeployError
from stn_deploy.export.node import OPSET

OPSETS = (18, 19)
"""Below 18 torch's exporter does not go; from 20 on TensorRT before 11.2 misreads GridSample's modes."""


def checked_opset(opset: int) -> None:
    """Check that files can be written in an opset.

    Raises:
        ArgumentError: they cannot.
    """
    if opset not in OPSETS:
        raise ArgumentError(
            f"opset: expected {OPSETS[0]} or {OPSETS[1]}, got {opset!r}; older engines run {OPSETS[0]}, and "
            "from 20 on TensorRT before 11.2 reads GridSample wrongly"
        )


def trace(
    module: nn.Module,
    example_inputs: tuple[Tensor, ...],
    *,
    input_names: Sequence[str],
    output_names: Sequence[str] | None,
    dynamic_shapes: Any,
    opset: int = OPSET,
    name: str = "",
) -> onnx.ModelProto:
    """The graph of a module; nodes carry no trace of where they came from.

    Args:
        module: in evaluation mode.
        example_inputs: what it is called with.
        output_names: all of them, or None for names of the exporter's choice.
        dynamic_shapes: see ``torch.export.export``.
        opset: 18 or 19.
        name: of the module, for messages; its class by default.
    Raises:
        ArgumentError: an opset out of range, or a module that cannot be exported; the message names the
            operator and the line of code that called it.
    """
    checked_opset(opset)
    with _quiet():
        try:
            exported = torch.onnx.export(
                module,
                example_inputs,
                dynamo=True,
                opset_version=opset,
                input_names=list(input_names),
                output_names=None if output_names is None else list(output_names),
                dynamic_shapes=dynamic_shapes,
                optimize=True,
                verbose=False,
            )
        except Exception as error:  # torch's own has no public name for each step
            raise ArgumentError(f"{name or type(module).__name__}: {_reason(error)}") from error
    if exported is None:
        raise RuntimeError("the exporter returned nothing")
    model = exported.model_proto
    for item in model.graph.node:
        item.doc_string = ""
        del item.metadata_props[:]
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "stn-deploy", ""
    return model


def expect_dynamic(model: onnx.ModelProto, dynamic_shapes: Sequence[Any]) -> None:
    """Check that every axis which was to be dynamic is: the exporter drops it where it cannot keep it.

    Args:
        dynamic_shapes: for each input of the model, as for ``torch.export.export``.
    Raises:
        ArgumentError: an axis has one length.
    """
    fixed = (None, torch.export.Dim.STATIC, torch.export.Dim.AUTO)
    for value, asked in zip(model.graph.input, dynamic_shapes, strict=True):
        lengths = value.type.tensor_type.shape.dim
        for axis, kind in asked.items() if isinstance(asked, Mapping) else enumerate(asked or ()):
            if kind not in fixed and not isinstance(kind, int) and not lengths[axis].dim_param:
                raise ArgumentError(
                    f"{value.name}: expected axis {axis} to be of any length, got {lengths[axis].dim_value} "
                    "alone: the network asks for that length, in Python or within torch.cond; take another "
                    "way there, or leave the axis out of dynamic_shapes"
                )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No deprecations of the exporter, no word that torchvision is missing, no log of what it cannot do."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx.experimental.symbolic_shapes")]
    levels = [logger.level for logger in loggers]
    nowhere = io.StringIO()  # torch prints the graph that it gave up on
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _reason(error: Exception) -> str:
    """Why torch could not export: an operator that ONNX has not, or code that cannot be traced."""
    if operator := re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", str(error)):
        node = _node_of(error)
        line = "" if node is None else str(node.meta.get("stack_trace") or "")
        return (
            f"expected operators that ONNX has, got {operator[1]}{_at(line)}; replace it by others, or keep "
            "this part out of the exported network"
        )
    first = _first_cause(error)
    if isinstance(first, StnDeployError):
        return str(first)
    said = str(first)
    reason = next((line.strip() for line in said.splitlines() if line.strip()), type(first).__name__)
    called = re.search(r"The following call raised this error:\s*\n(.*?)(?:\n\n|$)", said, re.DOTALL)
    line = called[1] if called else _last_line_outside_torch(first)
    return (
        f"cannot be traced: {reason}{_at(line)}; an exported network takes the same path whatever the "
        "values of its inputs"
    )


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _node_of(error: BaseException | None) -> fx.Node | None:
    """The operator that the exporter stumbled over: its errors name it in words, their frames hold it."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if isinstance(node := frame.f_locals.get("node"), fx.Node):
                return node
        error = error.__cause__
    return None


def _last_line_outside_torch(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/torch/" not in frame.filename]
    return "".join(traceback.format_list(frames[-1:])).strip()


def _at(stack: str) -> str:
    """The innermost line of a stack that is printed as Python does, in brackets."""
    found = re.findall(r'File "([^"]+)", line (\d+)[^\n]*(?:\n\s*([^\n]+))?', stack)
    if not found:
        return ""
    file, number, code = found[-1]
    return f" ({file}, line {number}{': ' + code.strip() if code else ''})"
