"""What a network in use does not need, folded into its weights in float64: batch norm, units, colours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stn_deploy.export.importing.found import FloatArray, FoundWeights
from stn_deploy.geometry.convention import Size

EPSILON = 1e-5
"""Of batch norm, in torch and in Paddle."""


class Layer(NamedTuple):
    """weight: (out, in, 3, 3) or (out, in). bias: (out,)."""

    weight: FloatArray
    bias: FloatArray


def batch_norm_folded(layer: Layer, found: FoundWeights, name: str, *, paddle: bool = False) -> Layer:
    """A layer that gives what batch norm made of its output.

    Args:
        name: of the batch norm. paddle: whether its statistics are called as in Paddle.
    Raises:
        ArtifactError: the batch norm is missing or does not fit.
    """
    count = len(layer.bias)
    names = ("_mean", "_variance") if paddle else ("running_mean", "running_var")
    gain, shift, mean, variance = (found.take(f"{name}.{part}", count) for part in ("weight", "bias", *names))
    factor = gain / np.sqrt(np.maximum(variance, 0) + EPSILON)
    scaled = layer.weight * factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
    return Layer(scaled, (layer.bias - mean) * factor + shift)


def without_bias(weight: FloatArray) -> Layer:
    """A layer that has no bias."""
    return Layer(weight, np.zeros(len(weight)))


def for_bgr(layer: Layer, colours: str) -> Layer:
    """The first convolution for pixels in BGR: one that was trained on RGB takes them the other way round."""
    return Layer(layer.weight[:, ::-1], layer.bias) if colours == "RGB" else layer


def for_edges(last: Layer, input_size: Size, *, from_zero: bool = False) -> Layer:
    """The last layer with theta in our convention.

    Published rectifiers mean by -1 and 1 the centres of the outermost pixels of their input
    (``align_corners=True``), we its edges. A scale joins both, at their input size; that it stands before the
    spline, not behind it, is the same, because each row of the spline's basis sums to one.

    Args:
        last: gives x0, y0, x1, y1, ...
        input_size: height and width, pixels.
        from_zero: whether coordinates run from 0 to 1, not from -1.
    """
    weight, bias = last
    if from_zero:
        weight, bias = weight * 2, bias * 2 - 1
    height, width = input_size
    scale: NDArray[np.float64] = np.tile([(width - 1) / width, (height - 1) / height], len(bias) // 2)
    return Layer(weight * scale[:, None], bias * scale)
