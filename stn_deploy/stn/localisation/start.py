"""What all localisation networks end with: a last layer that answers with a given theta at first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.stn.checks import check_tensor


def theta_layer(features: int, start: ArrayLike) -> nn.Linear:
    """The last layer of a localisation network: weights zero, bias ``start``.

    Args:
        features: number of inputs.
        start: theta before any training, of any shape, flattened: ``transform.identity``,
            ``sloped_control_points(20)``; for a localisation that several transformers share, their thetas
            one after another.
    Returns:
        a layer with as many outputs as ``start`` has numbers.
    Raises:
        ArgumentError: ``start`` is empty or not finite.
    Source: Jaderberg et al. 2015, section 4.1: the last layer is initialised to the identity transform.
    """
    try:
        theta = np.asarray(start, np.float32)
    except (TypeError, ValueError):  # ragged, or no numbers
        theta = np.empty(0, np.float32)
    if not theta.ndim or not theta.size or not np.isfinite(theta).all():
        raise ArgumentError(
            f"start: expected a theta, such as AFFINE.identity, of finite numbers, got {start!r}"
        )
    layer = nn.Linear(features, theta.size)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(theta).flatten())
    return layer


def checked_input_size(input_size: Sequence[int], dimensions: Sequence[int] = (2,)) -> tuple[int, ...]:
    """``input_size`` as (c, H, W) or (c, D, H, W).

    Raises:
        ArgumentError: another length than one plus any of ``dimensions``, or a number below one.
    """
    given: object = input_size
    size = tuple(given) if isinstance(given, Iterable) else ()
    whole = all(isinstance(length, Integral) and int(length) >= 1 for length in size)
    if len(size) - 1 not in dimensions or not whole:
        wanted = " or ".join("(c, H, W)" if count == 2 else "(c, D, H, W)" for count in dimensions)
        raise ArgumentError(f"input_size: expected {wanted}, each at least 1, got {input_size!r}")
    return tuple(int(length) for length in size)


def checked_count(name: str, count: int) -> int:
    """``count``, refused unless it is a whole number of at least one.

    Raises:
        ArgumentError: it is not.
    """
    if not isinstance(count, Integral) or count < 1:
        raise ArgumentError(f"{name}: expected a whole number of at least 1, got {count!r}")
    return int(count)


def check_input(source: Tensor, input_size: tuple[int, ...]) -> None:
    """Refuse a U of another size than the network was built for.

    Raises:
        ShapeError: it is not (n, *input_size).
    """
    check_tensor("source", source)
    if tuple(source.shape[1:]) != input_size:
        expected = ", ".join(map(str, input_size))
        raise ShapeError(
            f"source: expected (n, {expected}), the input_size of its localisation network, "
            f"got {tuple(source.shape)}"
        )


def count_features(layers: nn.Module, input_size: tuple[int, ...]) -> int:
    """How many numbers ``layers`` makes of one input.

    Raises:
        ArgumentError: the input is too small for them.
    """
    training = layers.training
    try:
        with torch.no_grad():
            output = layers.eval()(torch.zeros(1, *input_size))
    except RuntimeError as error:
        raise ArgumentError(
            f"input_size: expected an image large enough for this network, got {input_size}: {error}"
        ) from error
    finally:
        layers.train(training)
    return math.prod(output.shape[1:])
