"""``stn_deploy::grid_sample``: U, grid -> V, and its gradients for both."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from stn_deploy.plugins.launch.launcher import gpu_launcher
from stn_deploy.plugins.operators import on_gpu, plain
from stn_deploy.plugins.operators.definitions import define, differentiate
from stn_deploy.plugins.operators.tensors import (
    ELEMENTS,
    Settings,
    Wanted,
    check_gradient,
    checked_given,
    empty_output,
    only_wanted,
)

NAME = "grid_sample"
_ARGUMENTS = "Tensor source, Tensor grid, str mode, str padding, bool align_corners"


def _forward(source: Tensor, grid: Tensor, *given: Any) -> Tensor:
    settings = Settings(*given)
    checked_given(source, grid, settings)
    return plain.sample(source, grid.flatten(1, -2), None, grid.shape[1:-1], settings)


def _forward_on_gpu(source: Tensor, grid: Tensor, *given: Any) -> Tensor:
    if source.dtype not in ELEMENTS:
        return _forward(source, grid, *given)
    settings = Settings(*given)
    lengths = checked_given(source, grid, settings)
    return on_gpu.forward(gpu_launcher(), NAME, source, (grid,), lengths, grid.shape[1:-1], settings)


def _forward_fake(source: Tensor, grid: Tensor, *given: Any) -> Tensor:
    checked_given(source, grid, Settings(*given))
    return empty_output(source, grid.shape[1:-1])


def _backward(
    gradient: Tensor, wanted: Wanted, source: Tensor, grid: Tensor, *given: Any
) -> tuple[Tensor, Tensor]:
    settings = Settings(*given)
    checked_given(source, grid, settings)
    check_gradient(gradient, source, grid.shape[1:-1])
    for_source, moved = plain.gradients(gradient, source, grid.flatten(1, -2), None, settings, wanted)
    return only_wanted((for_source, moved.view(grid.shape)), wanted)


def _backward_on_gpu(
    gradient: Tensor, wanted: Wanted, source: Tensor, grid: Tensor, *given: Any
) -> tuple[Tensor, Tensor]:
    if source.dtype not in ELEMENTS:
        return _backward(gradient, wanted, source, grid, *given)
    settings = Settings(*given)
    lengths = checked_given(source, grid, settings)
    check_gradient(gradient, source, grid.shape[1:-1])
    return on_gpu.backward(gpu_launcher(), NAME, gradient, source, (grid,), grid, lengths, settings, wanted)


def _backward_fake(
    gradient: Tensor, wanted: Wanted, source: Tensor, grid: Tensor, *given: Any
) -> tuple[Tensor, Tensor]:
    checked_given(source, grid, Settings(*given))
    check_gradient(gradient, source, grid.shape[1:-1])
    return only_wanted((source.new_empty(source.shape), grid.new_empty(grid.shape)), wanted)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    ctx.save_for_backward(*inputs[:2])
    ctx.settings = inputs[2:]


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    wanted = ctx.needs_input_grad[:2]
    for_source, for_grid = _BACKWARD(gradient, wanted, *ctx.saved_tensors, *ctx.settings)
    return for_source if wanted[0] else None, for_grid if wanted[1] else None, None, None, None


FORWARD = define(
    NAME, f"({_ARGUMENTS}) -> Tensor", anywhere=_forward, on_gpu=_forward_on_gpu, fake=_forward_fake
)
_BACKWARD = define(
    f"{NAME}_backward",
    f"(Tensor gradient, bool[2] wanted, {_ARGUMENTS}) -> (Tensor, Tensor)",
    anywhere=_backward,
    on_gpu=_backward_on_gpu,
    fake=_backward_fake,
)
differentiate(NAME, _differentiate, _setup)
