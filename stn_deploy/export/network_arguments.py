"""What `export_network` refuses of what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from stn_deploy.errors import ArgumentError, StnDeployError


def listed_inputs(example_inputs: object) -> tuple[Any, ...]:
    """One or several example inputs as a tuple; ArgumentError for what is none."""
    if isinstance(example_inputs, Tensor):
        return (example_inputs,)
    if not isinstance(example_inputs, (list, tuple)):
        raise ArgumentError(
            f"example_inputs: expected a tensor or a list of tensors, got {type(example_inputs).__name__}"
        )
    return tuple(example_inputs)


def check_network(network: object, inputs: tuple[Any, ...]) -> None:
    """ArgumentError for what is no network in float32 on the CPU, or no tensors for it."""
    if not isinstance(network, nn.Module):
        raise ArgumentError(f"network: expected a torch module, got {type(network).__name__}")
    if not inputs:
        raise ArgumentError("example_inputs: expected at least one tensor, got none")
    for index, given in enumerate(inputs):
        if not isinstance(given, Tensor):
            raise ArgumentError(f"example_inputs: expected tensors, got {type(given).__name__} at {index}")
    tensors = {
        **{f"example input {index}": given for index, given in enumerate(inputs)},
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


def call_once(network: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Run the network: what fails then is an ArgumentError in its own words, not in the exporter's."""
    try:
        with torch.no_grad():
            network(*inputs)
    except StnDeployError:
        raise
    except Exception as error:
        name, said = type(network).__name__, str(error).strip() or type(error).__name__
        raise ArgumentError(
            f"{name}: cannot be called with the example inputs: {said.splitlines()[0]}"
        ) from error


def checked_input_names(given: Sequence[str] | None, count: int) -> list[str]:
    """Names of inputs, by default input, or input_0, input_1, ...; ArgumentError for another number."""
    if given is None:
        return ["input"] if count == 1 else [f"input_{index}" for index in range(count)]
    names = list(given)
    if isinstance(given, str) or len(set(names)) != count or len(names) != count:
        raise ArgumentError(f"input_names: expected {count} different names, got {given!r}")
    return names


def check_output_names(given: Sequence[str] | None, inputs: list[str]) -> None:
    """ArgumentError for names that clash; their number is known when the network has been traced."""
    names = [] if given is None else list(given)
    if isinstance(given, str) or len({*names, *inputs}) != len(names) + len(inputs):
        raise ArgumentError(
            f"output_names: expected different names, none of them of an input ({', '.join(inputs)}), got "
            f"{given!r}"
        )
