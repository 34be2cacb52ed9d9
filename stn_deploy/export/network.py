"""A user's own network with Spatial Transformers in it -> .onnx: each transformer becomes the node."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from types import MethodType
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn

from stn_deploy.data import write_output
from stn_deploy.errors import ArgumentError, OutputError
from stn_deploy.export.network_arguments import (
    call_once,
    check_network,
    check_output_names,
    checked_input_names,
    listed_inputs,
)
from stn_deploy.export.node import OPSET, NodeKind, define_nodes
from stn_deploy.export.node.trace import theta_grid_sample_node
from stn_deploy.export.passes.rewrite import IR_VERSION
from stn_deploy.export.tracing import expect_dynamic, trace
from stn_deploy.plugins.operators import FusedSpatialTransformer
from stn_deploy.stn import GridGenerator, ParallelSpatialTransformer, Sampler, SpatialTransformer

_LARGEST = 1 << 31
"""Bytes that a protobuf message can hold."""


def export_network(
    network: nn.Module,
    example_inputs: Tensor | Sequence[Tensor],
    path: Path | str,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_shapes: Any = None,
    opset: int = OPSET,
) -> None:
    """Write a network as one .onnx file in which each Spatial Transformer is a node ThetaGridSample.

    `SpatialTransformer` and `ParallelSpatialTransformer` may stand anywhere in it: a rectifier before a
    recogniser, several on feature maps, on volumes. Every transform, interpolation and padding can go. The
    file defines the node by standard operators, so that ONNX Runtime and TensorRT run it as it is, and has
    what TensorRT needs to take a plugin instead. A transformer goes as standard operators where the node
    would not be what it computes (an antialiasing sampler, a sampler or grid generator with a forward of its
    own or with hooks) and within ``torch.cond``. The network itself is not touched; it is exported in
    evaluation mode.

    Args:
        network: float32, on the CPU.
        example_inputs: a tensor or several, what the network is called with; their sizes are those of the
            file but where `dynamic_shapes` says otherwise.
        path: of the file to write; complete or absent, never half.
        input_names, output_names: of the file; input, or input_0, input_1, ..., and names of torch's choice.
        dynamic_shapes: as for ``torch.export.export``; by default the first axis of every input, the batch.
            An axis that the network makes a constant is refused.
        opset: 18 or 19.
    Raises:
        ArgumentError: inputs or names that do not fit, an axis that cannot be dynamic, float64, lazy layers
            without weights, a network that cannot be copied, an opset out of range, an antialiasing sampler
            on volumes, or operators that ONNX has not; the message names the line that made them.
        OutputError: the file cannot be written, or would be larger than the 2 GiB that one file holds.
    """
    inputs = listed_inputs(example_inputs)
    check_network(network, inputs)
    names = checked_input_names(input_names, len(inputs))
    check_output_names(output_names, names)
    if dynamic_shapes is None:
        # What batch means must be the same for all inputs, or torch asks for a relation.
        batch = torch.export.Dim("n", min=1, max=1 << 15)
        dynamic_shapes = tuple({0: batch} for _ in inputs)
    copied = lowered(network)
    call_once(copied, inputs)
    model = trace(
        _Entry(copied),
        inputs,
        input_names=names,
        output_names=output_names,
        dynamic_shapes=(dynamic_shapes,),
        opset=opset,
        name=type(network).__name__,
    )
    expect_dynamic(model, dynamic_shapes)
    if output_names is not None and len(model.graph.output) != len(output_names):
        found = ", ".join(value.name for value in model.graph.output)
        raise ArgumentError(
            f"output_names: expected {len(model.graph.output)} names, got {len(output_names)}: {found}"
        )
    _write(define_nodes(model), Path(path))


def lowered(network: nn.Module) -> nn.Module:
    """A copy of the network in evaluation mode, whose transformers become nodes when it is traced.

    Run eagerly it computes what the network does.

    Raises:
        ArgumentError: it cannot be copied, or has an antialiasing sampler on volumes.
    """
    try:
        changed = copy.deepcopy(network).eval()
    except RuntimeError as error:
        raise ArgumentError(
            f"{type(network).__name__}: cannot be copied: {error}; instead of torch.nn.utils.weight_norm "
            "take torch.nn.utils.parametrizations.weight_norm"
        ) from error
    for name, module in changed.named_modules():
        # A subclass with a forward of its own does what that says.
        if _has_forward_of(SpatialTransformer, module):
            _check_sampler(name, module.sampler, module.grid_generator)
            module.forward = MethodType(_transform, module)
        elif _has_forward_of(FusedSpatialTransformer, module):
            module.forward = MethodType(_transform, module)
        elif _has_forward_of(ParallelSpatialTransformer, module):
            for generator in module.grid_generators:
                _check_sampler(name, module.sampler, generator)
            module.forward = MethodType(_transform_in_parallel, module)
    return changed


def _has_forward_of(kind: type[nn.Module], module: nn.Module) -> bool:
    return type(module).forward is kind.forward and "forward" not in vars(module)


def _is_plain(kind: type[nn.Module], module: nn.Module) -> bool:
    """Whether calling a module does what its class says, and nothing more."""
    hooks = (*module._forward_hooks, *module._forward_pre_hooks)
    return _has_forward_of(kind, module) and not hooks


def _transform(self: SpatialTransformer | FusedSpatialTransformer, source: Tensor) -> Tensor:
    return _sampled(source, self.theta(source), self.grid_generator, self.sampler)


def _transform_in_parallel(self: ParallelSpatialTransformer, source: Tensor) -> Tensor:
    pairs = zip(self.thetas(source), self.grid_generators, strict=True)
    outputs = [
        _sampled(source, theta, cast(GridGenerator, generator), self.sampler) for theta, generator in pairs
    ]
    return torch.cat(outputs, dim=1)


def _sampled(source: Tensor, theta: Tensor, grid_generator: GridGenerator, sampler: Sampler) -> Tensor:
    """V by the node, whose positions and weights are float32 whatever the network computes in."""
    plain = _is_plain(Sampler, sampler) and _is_plain(GridGenerator, grid_generator)
    # Branches of torch.cond are traced apart, where the node is unknown.
    if sampler.antialias or not plain or not torch.onnx.is_in_onnx_export():
        output: Tensor = sampler(source, grid_generator(theta))
        return output
    transform = grid_generator.transform
    kind = NodeKind(
        dimensions=transform.dimensions,
        interpolation=sampler.mode,
        padding=sampler.padding,
        homogeneous=transform.homogeneous,
    )
    coefficients = grid_generator.coefficients(theta).transpose(1, 2)
    whole = torch.ones_like(coefficients[:, 0, : transform.dimensions])  # no image is padded
    sampled = theta_grid_sample_node(
        source.float(), grid_generator.basis, coefficients, whole, grid_generator.output_size, kind
    )
    return sampled.to(source.dtype)


class _Entry(nn.Module):
    """The network behind positional inputs, whatever its own forward calls them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> object:
        return self.network(*inputs)


def _check_sampler(name: str, sampler: Sampler, grid_generator: GridGenerator) -> None:
    if sampler.antialias and grid_generator.transform.dimensions == 3:
        raise ArgumentError(
            f"{name or 'network'}: expected a sampler without antialias for volumes, got {sampler}; ONNX has "
            "no operator for it"
        )


def _write(model: onnx.ModelProto, path: Path) -> None:
    model.ir_version = IR_VERSION
    if model.ByteSize() >= _LARGEST:
        raise OutputError(
            f"{path}: expected less than 2 GiB of weights for one file, got {model.ByteSize()} bytes"
        )
    data = model.SerializeToString(deterministic=True)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    write_output(path, data)
