"""Localisation networks: their layers, where they start, and what they need."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stn_deploy.geometry import AFFINE, SIMILARITY, inset_control_points, sloped_control_points
from stn_deploy.stn import (
    AsterLocalisation,
    ConvolutionalLocalisation,
    DepthwiseLocalisation,
    FullyConnectedLocalisation,
    LeNetLocalisation,
    MultiScaleLocalisation,
    theta_layer,
)

START = np.arange(6) / 5 - 0.3
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "fully connected": (lambda: FullyConnectedLocalisation((2, 9, 14), START), (2, 9, 14)),
    "fully connected, volume": (lambda: FullyConnectedLocalisation((1, 4, 6, 5), START), (1, 4, 6, 5)),
    "convolutional": (lambda: ConvolutionalLocalisation((3, 32, 40), START), (3, 32, 40)),
    "LeNet": (lambda: LeNetLocalisation((1, 28, 34), START), (1, 28, 34)),
    "multi-scale": (lambda: MultiScaleLocalisation((3, 24, 33), START), (3, 24, 33)),
    "ASTER": (lambda: AsterLocalisation(3, START), (3, 60, 120)),
    "depthwise": (lambda: DepthwiseLocalisation((3, 32, 64), START), (3, 32, 64)),
}
each_network = pytest.mark.parametrize(("make", "size"), NETWORKS.values(), ids=NETWORKS)


def images(size: tuple[int, ...], items: int = 4) -> Tensor:
    return torch.rand(items, *size, generator=torch.Generator().manual_seed(0))


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@each_network
def test_it_starts_at_the_given_theta_whatever_it_sees(
    make: Callable[[], nn.Module], size: tuple[int, ...]
) -> None:
    network = make()
    for source in (images(size), torch.zeros(3, *size), -100 * images(size)):
        expected = torch.tensor(START, dtype=torch.float32).expand(len(source), -1)
        assert torch.equal(network(source), expected)


@each_network
def test_every_layer_learns_after_the_first_step(
    make: Callable[[], nn.Module], size: tuple[int, ...]
) -> None:
    """Zero weights in the last layer let no gradient through in the first step; in the second they do."""
    torch.manual_seed(0)
    network = make()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    source = images(size)
    wanted = torch.rand(len(source), 6, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        optimiser.zero_grad()
        (network(source) - wanted).square().sum().backward()
        optimiser.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@each_network
def test_it_depends_on_its_whole_input(make: Callable[[], nn.Module], size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = make().eval()
    assert isinstance(network.last, nn.Linear)
    nn.init.normal_(network.last.weight)
    source = images(size, 1).requires_grad_()
    network(source).square().sum().backward()
    assert source.grad is not None
    seen = source.grad[0].abs().sum(dim=0) > 0
    for axis in range(seen.ndim):
        others = tuple(other for other in range(seen.ndim) if other != axis)
        # Some units are off at any one input, so whole lines are looked at, not single pixels.
        assert seen.float().mean(dim=others).count_nonzero() >= 0.75 * seen.shape[axis]


def test_the_layers_are_those_of_the_paper() -> None:
    dense = [32 * (2 * 9 * 14 + 1), 32 * 33, 6 * 33]
    assert count(FullyConnectedLocalisation((2, 9, 14), START)) == sum(dense)
    # Two convolutions 5 x 5, two dense layers of 32 units
    layers = [32 * (3 * 25 + 1), 32 * (32 * 25 + 1), 32 * (32 * 8 * 10 + 1), 32 * 33, 6 * 33]
    assert count(ConvolutionalLocalisation((3, 32, 40), START)) == sum(layers)
    # 28 -> 14 -> 10 -> 5 -> 1 pixels
    layers = [20 * (25 + 1), 20 * (20 * 25 + 1), 50 * (20 + 1), 6 * 51]
    assert count(LeNetLocalisation((1, 28, 28), START)) == sum(layers)
    # 48 -> 24 -> 12 pixels; the features of both layers at the size of the second
    layers = [100 * (3 * 25 + 1), 200 * (100 * 25 + 1), 100 * (300 * 12 * 12 + 1), 6 * 101]
    assert count(MultiScaleLocalisation((3, 48, 48), START)) == sum(layers)


def test_asters_network_has_the_published_layers_and_takes_any_size() -> None:
    network = AsterLocalisation(3, sloped_control_points(20))
    widths = [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [32, 64, 128, 256, 256, 256]
    assert count(network) == pytest.approx(1.85e6, rel=0.01)
    network.eval()
    assert network(images((3, 31, 77), 1)).shape == (1, 40)
    assert network(images((3, 5, 6), 2)).shape == (2, 40)


def test_the_network_for_edge_devices_is_small() -> None:
    network = DepthwiseLocalisation((3, 32, 64), inset_control_points(20))
    assert count(network) < 120_000
    assert network.eval()(images((3, 32, 64), 1)).shape == (1, 40)


def test_one_network_may_start_several_thetas() -> None:
    start = np.concatenate([AFFINE.identity, SIMILARITY.identity])
    theta = LeNetLocalisation((1, 28, 28), start)(images((1, 28, 28)))
    assert torch.equal(theta[0], torch.tensor(start, dtype=torch.float32))


def test_the_last_layer_takes_control_points_as_they_are() -> None:
    layer = theta_layer(5, sloped_control_points(6))
    assert not layer.weight.any()
    assert np.abs(layer.bias.detach().numpy().reshape(6, 2) - sloped_control_points(6)).max() < 1e-7
