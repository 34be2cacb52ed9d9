"""What localisation networks see in tests, and how they come to answer to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stn_deploy.geometry import Transform
from stn_deploy.stn import FullyConnectedLocalisation, Sampler, SpatialTransformer


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def alive(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """The network with a last layer that depends on its input."""
    torch.manual_seed(seed)
    last = network.last
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=0.3)
    return network


SIZES = {2: (12, 17), 3: (4, 7, 6)}
OUTPUT = {2: (7, 9), 3: (3, 5, 4)}


def transformer(
    transform: Transform,
    sampler: Sampler | None = None,
    *,
    channels: int = 2,
    size: tuple[int, ...] | None = None,
) -> SpatialTransformer:
    """A transformer whose localisation answers to its input, by up to about a third of U."""
    axes = transform.dimensions
    localisation = alive(FullyConnectedLocalisation((channels, *(size or SIZES[axes])), transform.identity))
    sampler = sampler or Sampler("bilinear" if axes == 2 else "trilinear")
    return SpatialTransformer(localisation, transform, sampler, OUTPUT[axes])
