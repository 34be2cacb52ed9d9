"""What every implementation of the operators asks of its tensors, and the layout of what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.plugins.launch.plan import Lengths, takes_channels_last
from stn_deploy.plugins.launch.shapes import (
    check_settings,
    checked_output_size,
    checked_source,
    fused_lengths,
    given_lengths,
)

ELEMENTS = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}
"""Types that the kernels read; float64 is left to operators of torch."""

Wanted = Sequence[bool]
"""Whether U, and theta or the grid, is to have a gradient."""


class Settings(NamedTuple):
    """How is sampled. homogeneous: theta has a last column, by which the others are divided."""

    mode: str
    padding: str
    align_corners: bool
    homogeneous: bool = False


def checked_fused(
    source: Tensor,
    basis: Tensor,
    theta: Tensor,
    extents: Tensor | None,
    output_size: Sequence[int],
    settings: Settings,
) -> Lengths:
    """Lengths of tensors that go together, positions being basis @ theta.

    Raises:
        ShapeError: their shapes do not.
        ArgumentError: their types or devices do not; an unknown mode or padding.
    """
    axes = checked_source(source.shape)
    check_settings(axes, settings.mode, settings.padding)
    _check_types(source, basis=basis, theta=theta, extents=extents)
    valid = None if extents is None else extents.shape
    sizes = checked_output_size(output_size, axes)
    return fused_lengths(source.shape, basis.shape, theta.shape, valid, sizes, settings.homogeneous)


def checked_given(source: Tensor, grid: Tensor, settings: Settings) -> Lengths:
    """Lengths of tensors that go together, positions being a grid.

    Raises:
        ShapeError, ArgumentError: as `checked_fused`.
    """
    check_settings(checked_source(source.shape), settings.mode, settings.padding)
    _check_types(source, grid=grid)
    return given_lengths(source.shape, grid.shape)


def check_gradient(gradient: Tensor, source: Tensor, sizes: Sequence[int]) -> None:
    """Refuse a gradient that is not like V.

    Raises:
        ShapeError: its shape is not. ArgumentError: its type or device is not.
    """
    expected = (*source.shape[:2], *sizes)
    if tuple(gradient.shape) != expected:
        raise ShapeError(f"gradient: expected {expected} like V, got {tuple(gradient.shape)}")
    if gradient.dtype != source.dtype or gradient.device != source.device:
        raise ArgumentError(
            f"gradient: expected {source.dtype} on {source.device} like source, "
            f"got {gradient.dtype} on {gradient.device}"
        )


def layout_of(source: Tensor) -> torch.memory_format:
    """The layout that V gets: channels-last where U has it and the kernels read it, else contiguous."""
    last = torch.channels_last if source.ndim == 4 else torch.channels_last_3d
    # The channels come last in this question, too: an exporter that is asked it fixes their number.
    if (
        source.dtype in ELEMENTS
        and not source.is_contiguous()
        and source.is_contiguous(memory_format=last)
        and takes_channels_last(source.shape[1], ELEMENTS[source.dtype])
    ):
        return last
    return torch.contiguous_format


def empty_output(source: Tensor, sizes: Sequence[int], layout: torch.memory_format | None = None) -> Tensor:
    """Room for V, in the layout that `layout_of` finds, where it is not given."""
    shape, chosen = (*source.shape[:2], *sizes), layout or layout_of(source)
    return torch.empty(shape, dtype=source.dtype, device=source.device, memory_format=chosen)


def _check_types(source: Tensor, **coordinates: Tensor | None) -> None:
    if source.dtype not in ELEMENTS and source.dtype != torch.float64:
        raise ArgumentError(f"source: expected a floating-point tensor, got {source.dtype}; call .float()")
    wanted = torch.float64 if source.dtype == torch.float64 else torch.float32
    for name, tensor in coordinates.items():
        if tensor is None:
            continue
        if tensor.dtype != wanted:
            hint = "call .float()" if wanted == torch.float32 else "call .double()"
            raise ArgumentError(
                f"{name}: expected {wanted} for a source of {source.dtype}, got {tensor.dtype}; {hint}"
            )
        if tensor.device != source.device:
            raise ArgumentError(
                f"{name}: expected a tensor on {source.device} like source, got one on {tensor.device}"
            )


def only_wanted(gradients: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Tensor]:
    """The gradients that are wanted; of the others nothing, in an empty tensor."""
    first, second = (
        gradient if kept else gradient.new_empty(0) for gradient, kept in zip(gradients, wanted, strict=True)
    )
    return first, second
