"""ASTER.pytorch, and the layout that MMOCR and PaddleOCR took over from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stn_deploy.errors import ArtifactError
from stn_deploy.export.importing.fold import Layer, batch_norm_folded, for_bgr, for_edges
from stn_deploy.export.importing.found import FoundWeights, find_weights
from stn_deploy.export.importing.network import (
    Sizes,
    check_colours,
    check_spline,
    published_rectifier,
    size_of_grid,
)
from stn_deploy.export.importing.weights import Arrays
from stn_deploy.geometry import TextSpline
from stn_deploy.geometry.convention import Size
from stn_deploy.training.published import PublishedRectifier

CHANNELS = (32, 64, 128, 256, 256, 256)
DENSE = 512

_INPUT, _OUTPUT, _THUMBNAIL = (64, 256), (32, 100), (32, 64)
_MARGIN = 0.05
_FACTOR = 0.1
"""Of the dense layer's features, before the last layer."""
_FARTHEST = 2.0
"""How far outside the image a control point of the bias may lie, in images."""


def import_aster(path: Path, weights: Arrays, sizes: Sizes) -> PublishedRectifier:
    """The rectifier of ASTER.pytorch: RGB, 64 x 256, seen as 32 x 64, sampled to 32 x 100.

    Grid, thumbnail and sampling align corners, as they did in torch before 1.3, on which its published
    weights were trained; positions are clamped to the image, which is the border.

    Raises:
        ArtifactError: not its weights. ArgumentError: an output size that is not that of the file.
    Source: Shi et al. 2018, ASTER.
    """
    found = find_weights(path, weights, "aster")
    convolutions = convolutions_of(found)
    name = "stn_head.stn_fc1"
    dense = Layer(
        found.take(f"{name}.0.weight", DENSE, 2 * CHANNELS[-1]), found.take(f"{name}.0.bias", DENSE)
    )
    weight = found.take("stn_head.stn_fc2.weight", None, DENSE)
    return rectifier_of(
        found,
        sizes,
        family="aster",
        order="RGB",
        convolutions=convolutions,
        dense=batch_norm_folded(dense, found, f"{name}.1"),
        last=Layer(weight, found.take("stn_head.stn_fc2.bias", len(weight))),
    )


def channel_pairs() -> list[tuple[int | None, int]]:
    """Input and output channels of each convolution; those of the image may be any."""
    return list(zip((None, *CHANNELS), CHANNELS, strict=False))


def convolutions_of(found: FoundWeights, *, paddle: bool = False) -> list[Layer]:
    """The convolutions of ASTER's ``stn_head``, with their batch norm folded in.

    Args:
        paddle: batch norm in the names of PaddlePaddle.
    Raises:
        ArtifactError: not its weights.
    """
    return [
        batch_norm_folded(
            Layer(
                found.take(f"stn_head.stn_convnet.{2 * index}.0.weight", after, before, 3, 3),
                found.take(f"stn_head.stn_convnet.{2 * index}.0.bias", after),
            ),
            found,
            f"stn_head.stn_convnet.{2 * index}.1",
            paddle=paddle,
        )
        for index, (before, after) in enumerate(channel_pairs())
    ]


def rectifier_of(
    found: FoundWeights,
    sizes: Sizes,
    *,
    family: str,
    order: str,
    convolutions: Sequence[Layer],
    dense: Layer,
    last: Layer,
) -> PublishedRectifier:
    """The rectifier in ASTER's layout; ``order`` is that of the colours that it was trained on."""
    check_colours(found, convolutions[0])
    _check_activation(found, last)
    stored, margin = _stored_spline(found, len(last.bias) // 2)
    input_size = sizes.input or _INPUT
    return published_rectifier(
        found,
        family=family,
        convolutions=[for_bgr(convolutions[0], order), *convolutions[1:]],
        dense=dense,
        last=for_edges(Layer(last.weight * _FACTOR, last.bias), input_size, from_zero=True),
        pooled=False,
        input_size=input_size,
        output_size=sizes.output or stored or _OUTPUT,
        thumbnail_size=_THUMBNAIL,
        thumbnail_align_corners=True,
        spline=_spline(margin),
    )


def _spline(margin: float) -> TextSpline:
    return TextSpline(control_inset=2 * margin, target_align_corners=True)


def _check_activation(found: FoundWeights, last: Layer) -> None:
    """Refuse a network whose last layer is followed by a sigmoid, which no name tells, but its bias does."""
    if last.bias.min() < -_FARTHEST or last.bias.max() > 1 + _FARTHEST:
        raise ArtifactError(
            f"{found.path}: {found.prefix}: expected control points in or near the image, 0 to 1, got a bias "
            f"of {last.bias.min():.1f} to {last.bias.max():.1f}; stn_activation sigmoid is not known here"
        )


def _stored_spline(found: FoundWeights, count: int) -> tuple[Size | None, float]:
    """Output size and margin that the buffers were made for; None and the published margin without them."""
    grid, system, controls = (
        f"tps.{name}" for name in ("target_coordinate_repr", "inverse_kernel", "target_control_points")
    )
    if any(name not in found.arrays for name in (grid, system, controls)):
        return None, _MARGIN
    margins = found.take(controls, count, 2).min(axis=0)
    if abs(margins[0] - margins[1]) > 1e-4 or not 0 <= margins[0] < 0.5:
        raise ArtifactError(
            f"{found.path}: {found.prefix}{controls}: expected one margin below 0.5 on all sides, got "
            f"{margins[0]:.3f} and {margins[1]:.3f}"
        )
    margin = float(np.round(margins[0], 6))
    rows = found.take(grid, None, count + 3)
    size = size_of_grid(found, grid, rows[:, -2:])
    stored = rows @ found.take(system, count + 3, count + 3)[:, :count]
    check_spline(found, grid, stored, _spline(margin), size)
    return size, margin
