"""Small inputs for the operators of torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stn_deploy.plugins.operators import on_gpu
from stn_deploy.plugins.operators.tensors import Settings, Wanted, checked_fused
from tests.emulated_launcher import EmulatedLauncher

OUTPUT = (5, 4)
SETTINGS = ("bilinear", "border", False, False)


def tensors(n: int = 3, c: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """source, basis, theta, extents."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(n, c, 7, 12, generator=generator, dtype=dtype)
    basis = torch.rand(20, 5, generator=generator, dtype=dtype) * 2 - 1
    theta = torch.randn(n, 5, 2, generator=generator, dtype=dtype) * 0.9
    extents = torch.tensor([[1, 1], [6 / 7, 11 / 12], [1, 0.5]], dtype=dtype)[:n]
    return {"source": source, "basis": basis, "theta": theta, "extents": extents}


def wanting(given: dict[str, Any]) -> dict[str, Any]:
    """The same, with gradients for source and theta."""
    return {
        name: tensor.clone().requires_grad_(name in ("source", "theta")) for name, tensor in given.items()
    }


def grid_of(given: dict[str, Any]) -> Tensor:
    """The positions of the fused operator, as a grid."""
    positions: Tensor = given["basis"] @ given["theta"]
    return positions.reshape(-1, *OUTPUT, 2)


def launched(
    launcher: EmulatedLauncher,
    given: dict[str, Any],
    *,
    settings: tuple[Any, ...] = SETTINGS,
    output_size: tuple[int, ...] = OUTPUT,
) -> Tensor:
    """V by the way that tensors on a GPU take."""
    how, positions = Settings(*settings), [given[name] for name in ("basis", "theta", "extents")]
    lengths = checked_fused(**given, output_size=output_size, settings=how)
    arguments = (given["source"], positions, lengths, output_size, how)
    return on_gpu.forward(launcher, "theta_grid_sample", *arguments)


def launched_backward(
    launcher: EmulatedLauncher,
    given: dict[str, Any],
    wanted: Wanted,
    *,
    settings: tuple[Any, ...] = SETTINGS,
) -> tuple[Tensor, Tensor]:
    """Gradients for source and theta by the way that tensors on a GPU take."""
    how, positions = Settings(*settings), [given[name] for name in ("basis", "theta", "extents")]
    lengths = checked_fused(**given, output_size=OUTPUT, settings=how)
    source = given["source"]
    gradient = torch.ones(*source.shape[:2], *OUTPUT)
    arguments = (gradient, source, positions, given["theta"], lengths, how, wanted)
    return on_gpu.backward(launcher, "theta_grid_sample", *arguments)
