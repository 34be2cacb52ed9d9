"""``stn_deploy::theta_grid_sample``: U, basis, theta, extents -> V, and its gradients for U and theta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from stn_deploy.errors import ArgumentError
from stn_deploy.plugins.launch.launcher import gpu_launcher
from stn_deploy.plugins.operators import on_gpu, plain
from stn_deploy.plugins.operators.definitions import define, differentiate
from stn_deploy.plugins.operators.tensors import (
    ELEMENTS,
    Settings,
    Wanted,
    check_gradient,
    checked_fused,
    empty_output,
    only_wanted,
)

NAME = "theta_grid_sample"
_ARGUMENTS = (
    "Tensor source, Tensor basis, Tensor theta, Tensor? extents, SymInt[] output_size, "
    "str mode, str padding, bool align_corners, bool homogeneous"
)
Positions = tuple[Tensor, Tensor, Tensor | None, Sequence[int]]
"""basis, theta, extents, output_size."""


def _forward(source: Tensor, *rest: Any) -> Tensor:
    positions, settings = _parts(rest)
    checked_fused(source, *positions, settings)
    basis, theta, extents, output_size = positions
    points, _ = plain.points_of(basis, theta, settings.homogeneous)
    return plain.sample(source, points, extents, output_size, settings)


def _forward_on_gpu(source: Tensor, *rest: Any) -> Tensor:
    if source.dtype not in ELEMENTS:
        return _forward(source, *rest)
    positions, settings = _parts(rest)
    lengths = checked_fused(source, *positions, settings)
    return on_gpu.forward(gpu_launcher(), NAME, source, positions[:3], lengths, positions[3], settings)


def _forward_fake(source: Tensor, *rest: Any) -> Tensor:
    positions, settings = _parts(rest)
    checked_fused(source, *positions, settings)
    return empty_output(source, positions[3])


def _backward(gradient: Tensor, wanted: Wanted, source: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    (basis, theta, extents, output_size), settings = _parts(rest)
    checked_fused(source, basis, theta, extents, output_size, settings)
    check_gradient(gradient, source, output_size)
    points, divisor = plain.points_of(basis, theta, settings.homogeneous)
    for_source, moved = plain.gradients(gradient, source, points, extents, settings, wanted)
    for_theta = plain.theta_gradient_of(basis, points, divisor, moved).contiguous()
    return only_wanted((for_source, for_theta), wanted)


def _backward_on_gpu(gradient: Tensor, wanted: Wanted, source: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    if source.dtype not in ELEMENTS:
        return _backward(gradient, wanted, source, *rest)
    positions, settings = _parts(rest)
    lengths = checked_fused(source, *positions, settings)
    check_gradient(gradient, source, positions[3])
    tensors, theta = positions[:3], positions[1]
    return on_gpu.backward(gpu_launcher(), NAME, gradient, source, tensors, theta, lengths, settings, wanted)


def _backward_fake(gradient: Tensor, wanted: Wanted, source: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    positions, settings = _parts(rest)
    checked_fused(source, *positions, settings)
    check_gradient(gradient, source, positions[3])
    return only_wanted((source.new_empty(source.shape), positions[1].new_empty(positions[1].shape)), wanted)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    ctx.save_for_backward(*inputs[:4])
    ctx.rest = inputs[4:]


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    needs = ctx.needs_input_grad
    if needs[1] or needs[3]:
        name = "basis" if needs[1] else "extents"
        raise ArgumentError(f"{name}: has no gradient; call {name}.detach()")
    wanted = (needs[0], needs[2])
    for_source, for_theta = _BACKWARD(gradient, wanted, *ctx.saved_tensors, *ctx.rest)
    found = (for_source if wanted[0] else None, None, for_theta if wanted[1] else None, None)
    return found + (None,) * len(ctx.rest)


def _parts(rest: Sequence[Any]) -> tuple[Positions, Settings]:
    """The arguments behind source, apart."""
    basis, theta, extents, output_size, *settings = rest
    return (basis, theta, extents, output_size), Settings(*settings)


FORWARD = define(
    NAME,
    f"({_ARGUMENTS}) -> Tensor",
    anywhere=_forward,
    on_gpu=_forward_on_gpu,
    fake=_forward_fake,
    shared={1},
)
_BACKWARD = define(
    f"{NAME}_backward",
    f"(Tensor gradient, bool[2] wanted, {_ARGUMENTS}) -> (Tensor, Tensor)",
    anywhere=_backward,
    on_gpu=_backward_on_gpu,
    fake=_backward_fake,
    shared={3},
)
differentiate(NAME, _differentiate, _setup)
