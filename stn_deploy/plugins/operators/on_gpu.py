"""The operators by the kernels: tensors in, tensors out, on the stream that torch works on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from stn_deploy.errors import ArgumentError
from stn_deploy.plugins.launch.launcher import Launcher
from stn_deploy.plugins.launch.plan import VECTOR_BYTES, Lengths, Sampling, plan_launch
from stn_deploy.plugins.operators.tensors import ELEMENTS, Settings, Wanted, empty_output, layout_of


def forward(
    launcher: Launcher,
    operation: str,
    source: Tensor,
    positions: Sequence[Tensor | None],
    lengths: Lengths,
    sizes: Sequence[int],
    settings: Settings,
) -> Tensor:
    """V (n, c, *sizes) of U.

    Args:
        operation: theta_grid_sample or grid_sample.
        positions: basis, theta and extents, or the grid; checked, as ``lengths`` are.
    """
    layout = layout_of(source)
    output = empty_output(source, sizes, layout)
    if not output.numel():
        return output
    channels_last = layout is not torch.contiguous_format
    if not channels_last:
        source = source.contiguous()
    elif source.data_ptr() % VECTOR_BYTES:
        source = source.clone()  # keeps its layout
    sampling = Sampling(source.ndim - 2, *settings, ELEMENTS[source.dtype], channels_last)
    _launch(launcher, operation, sampling, lengths, [source, *_contiguous(positions)], [output])
    return output


def backward(
    launcher: Launcher,
    operation: str,
    gradient: Tensor,
    source: Tensor,
    positions: Sequence[Tensor | None],
    of: Tensor,
    lengths: Lengths,
    settings: Settings,
    wanted: Wanted,
) -> tuple[Tensor, Tensor]:
    """Gradients for U and for theta or the grid, summed in float32; empty where not wanted.

    Args:
        of: the tensor among ``positions`` that has a gradient.
    """
    moves = wanted[1] and settings.mode != "nearest"
    sums = source.new_zeros(source.shape if wanted[0] else 0, dtype=torch.float32)
    moved = of.new_zeros(of.shape if wanted[1] else 0)
    if gradient.numel() and (wanted[0] or moves):
        _check_determinism(operation)
        sampling = Sampling(source.ndim - 2, *settings, ELEMENTS[source.dtype])
        inputs = _contiguous([source, *positions, gradient])
        outputs = [sums if wanted[0] else None, moved if moves else None]
        _launch(launcher, f"{operation}_backward", sampling, lengths, inputs, outputs)
    return sums.to(source.dtype), moved


def _launch(
    launcher: Launcher,
    operation: str,
    sampling: Sampling,
    lengths: Lengths,
    inputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor | None],
) -> None:
    place = next(tensor for tensor in inputs if tensor is not None).device
    read, written = (
        tuple(0 if tensor is None else tensor.data_ptr() for tensor in tensors)
        for tensors in (inputs, outputs)
    )
    on_gpu = place.type == "cuda"
    stream = torch.cuda.current_stream(place).cuda_stream if on_gpu else 0
    launcher.launch(plan_launch(operation, sampling, lengths, read, written), place.index or 0, stream)


def _contiguous(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def _check_determinism(operation: str) -> None:
    """Refuse, or warn, where sums must come out the same each time; torch's own sampler does so, too."""
    if not torch.are_deterministic_algorithms_enabled():
        return
    message = (
        f"{operation}: expected torch.use_deterministic_algorithms(False), for the kernels sum gradients in "
        "any order; stn_deploy.stn on a CPU is deterministic"
    )
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        raise ArgumentError(message)
    warnings.warn(message, stacklevel=2)
