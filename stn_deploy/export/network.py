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
from torch.nn.parameter import is_lazy

from stn_deploy.data import write_whole
from stn_deploy.errors import ArgumentError, OutputError, StnDeployError
from stn_deploy.export.node import OPSET, NodeKind, define_nodes
from stn_deploy.export.node.trace import theta_grid_sample_node
from stn_deploy.export.passes.rewrite import IR_VERSION
from stn_deploy.export.tracing import expect_dynamic, trace
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
            Its example should then not be 1, which torch takes for a constant.
        opset: 18 or 19.
    Raises:
        ArgumentError: inputs or names that do not fit, an axis that cannot be dynamic, float64, lazy layers
            without weights, a network that cannot be copied, an opset out of range, an antialiasing sampler
            on volumes, or operators that ONNX has not; the message names the line that made them.
        OutputError: the file cannot be written, or would be larger than the 2 GiB that one file holds.
    """
    inputs = _listed(example_inputs)
    _check(network, inputs)
    names = _checked_names(input_names, len(inputs))
    _check_output_names(output_names, names)
    if dynamic_shapes is None:
        # What batch means must be the same for all inputs, or torch asks for a relation.
        batch = torch.export.Dim("n", min=1, max=1 << 15)
        dynamic_shapes = tuple({0: batch} for _ in inputs)
    entry = _Entry(lowered(network))
    _call(entry, inputs)
    model = trace(
        entry,
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


def _transform(self: SpatialTransformer, source: Tensor) -> Tensor:
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


def _listed(example_inputs: object) -> tuple[Any, ...]:
    if isinstance(example_inputs, Tensor):
        return (example_inputs,)
    if not isinstance(example_inputs, (list, tuple)):
        raise ArgumentError(
            f"example_inputs: expected a tensor or a list of tensors, got {type(example_inputs).__name__}"
        )
    return tuple(example_inputs)


def _call(entry: _Entry, inputs: tuple[Any, ...]) -> None:
    """Run the network once: what fails then is told in its own words, not in the exporter's."""
    try:
        with torch.no_grad():
            entry(*inputs)
    except StnDeployError:
        raise
    except Exception as error:
        name, said = type(entry.network).__name__, str(error).strip() or type(error).__name__
        raise ArgumentError(
            f"{name}: cannot be called with the example inputs: {said.splitlines()[0]}"
        ) from error


def _check(network: object, inputs: tuple[object, ...]) -> None:
    if not isinstance(network, nn.Module):
        raise ArgumentError(f"network: expected a torch module, got {type(network).__name__}")
    if not inputs:
        raise ArgumentError("example_inputs: expected at least one tensor, got none")
    for index, given in enumerate(inputs):
        if not isinstance(given, Tensor):
            raise ArgumentError(f"example_inputs: expected tensors, got {type(given).__name__} at {index}")
    tensors = {
        **{f"example input {index}": cast(Tensor, given) for index, given in enumerate(inputs)},
        **dict(network.named_parameters()),
        **dict(network.named_buffers()),
    }
    for name, tensor in tensors.items():
        if is_lazy(tensor):
            raise ArgumentError(
                f"{name}: expected weights, got none yet; call the network once, with an input"
            )
        if tensor.dtype == torch.float64:
            raise ArgumentError(
                f"{name}: expected float32, got float64; engines compute in it: network.float()"
            )
        if tensor.device.type != "cpu":
            raise ArgumentError(f"{name}: expected it on the CPU, got {tensor.device}; network.cpu()")


def _check_sampler(name: str, sampler: Sampler, grid_generator: GridGenerator) -> None:
    if sampler.antialias and grid_generator.transform.dimensions == 3:
        raise ArgumentError(
            f"{name or 'network'}: expected a sampler without antialias for volumes, got {sampler}; ONNX has "
            "no operator for it"
        )


def _checked_names(given: Sequence[str] | None, count: int) -> list[str]:
    if given is None:
        return ["input"] if count == 1 else [f"input_{index}" for index in range(count)]
    names = list(given)
    if isinstance(given, str) or len(set(names)) != count or len(names) != count:
        raise ArgumentError(f"input_names: expected {count} different names, got {given!r}")
    return names


def _check_output_names(given: Sequence[str] | None, inputs: list[str]) -> None:
    """Their number is not known before the network has been traced."""
    names = [] if given is None else list(given)
    if isinstance(given, str) or len({*names, *inputs}) != len(names) + len(inputs):
        raise ArgumentError(
            f"output_names: expected different names, none of them of an input ({', '.join(inputs)}), got "
            f"{given!r}"
        )


def _write(model: onnx.ModelProto, path: Path) -> None:
    model.ir_version = IR_VERSION
    if model.ByteSize() >= _LARGEST:
        raise OutputError(
            f"{path}: expected less than 2 GiB of weights for one file, got {model.ByteSize()} bytes"
        )
    data = model.SerializeToString(deterministic=True)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
