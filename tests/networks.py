"""What localisation networks see in tests, and how they come to answer to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def alive(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """The network with a last layer that depends on its input."""
    torch.manual_seed(seed)
    last = network.last
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=0.3)
    return network
