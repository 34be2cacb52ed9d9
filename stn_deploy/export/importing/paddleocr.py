"""PaddleOCR: the transforms TPS (after TRBA) and STN_ON (after ASTER)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stn_deploy.errors import ArtifactError
from stn_deploy.export.importing import aster
from stn_deploy.export.importing.fold import Layer, batch_norm_folded, for_edges, without_bias
from stn_deploy.export.importing.found import PADDLE_TPS, FoundWeights, find_weights
from stn_deploy.export.importing.network import Sizes, check_colours, published_rectifier
from stn_deploy.export.importing.weights import Arrays
from stn_deploy.geometry import TextSpline
from stn_deploy.training.published import PublishedRectifier

_NETWORKS = {16: ((16, 32, 64, 128), 64), 64: ((64, 128, 256, 512), 256)}
"""Small and large, by the channels of the first convolution: those of all, and the dense layer's width."""
_PUBLISHED = (32, 100)


def import_paddleocr(path: Path, weights: Arrays, sizes: Sizes) -> PublishedRectifier:
    """The transform of a recogniser of PaddleOCR, TPS or STN_ON; both see BGR and align corners.

    Raises:
        ArtifactError: not its weights.
    """
    found = find_weights(path, weights, "paddleocr")
    return _tps(found, sizes) if found.layout == PADDLE_TPS else _stn_on(found, sizes)


def _tps(found: FoundWeights, sizes: Sizes) -> PublishedRectifier:
    """As TRBA, but outside the image is nothing: mid grey."""
    first = found.take(PADDLE_TPS, None, None, 3, 3)
    if len(first) not in _NETWORKS:
        raise ArtifactError(
            f"{found.path}: {found.prefix}{PADDLE_TPS}: expected 16 channels (small) or 64 (large), got "
            f"{len(first)}"
        )
    channels, width = _NETWORKS[len(first)]
    convolutions = []
    before: int | None = None
    for index, after in enumerate(channels):
        weight = found.take(f"loc_net.loc_conv{index}.conv.weight", after, before, 3, 3)
        name = f"loc_net.loc_conv{index}.bn"
        convolutions.append(batch_norm_folded(without_bias(weight), found, name, paddle=True))
        before = after
    check_colours(found, convolutions[0])
    last = _dense(found, "loc_net.fc2", width, None)
    _check_expansion(found, len(last.bias))
    input_size = sizes.input or _PUBLISHED
    return published_rectifier(
        found,
        family="paddleocr",
        convolutions=convolutions,
        dense=_dense(found, "loc_net.fc1", channels[-1], width),
        last=for_edges(last, input_size),
        pooled=True,
        input_size=input_size,
        output_size=sizes.output or input_size,
        thumbnail_size=input_size,
        spline=TextSpline(),
        padding="zeros",
    )


def _stn_on(found: FoundWeights, sizes: Sizes) -> PublishedRectifier:
    convolutions = aster.convolutions_of(found, paddle=True)
    dense = _dense(found, "stn_head.stn_fc1.0", 2 * aster.CHANNELS[-1], aster.DENSE)
    return aster.rectifier_of(
        found,
        sizes,
        family="paddleocr",
        order="BGR",
        convolutions=convolutions,
        dense=batch_norm_folded(dense, found, "stn_head.stn_fc1.1", paddle=True),
        last=_dense(found, "stn_head.stn_fc2", aster.DENSE, None),
    )


def _dense(found: FoundWeights, name: str, inputs: int, outputs: int | None) -> Layer:
    """A dense layer, whose weight Paddle keeps as (in, out)."""
    weight = found.take(f"{name}.weight", inputs, outputs).T
    return Layer(weight, found.take(f"{name}.bias", len(weight)))


def _check_expansion(found: FoundWeights, outputs: int) -> None:
    """Refuse weights in the layer that predicts three more rows of the spline's system.

    It starts at zero and has the learning rate zero, so it is nothing; with it, what is sampled no longer
    follows from the control points alone as a spline's does.
    """
    name = "grid_generator.fc"
    for part, shape in (("weight", (outputs, 6)), ("bias", (6,))):
        key = f"{name}.{part}"
        if key in found.arrays and np.abs(found.take(key, *shape)).max() > 0:
            raise ArtifactError(
                f"{found.path}: {found.prefix}{key}: expected zeros, as PaddleOCR leaves it, got values up "
                f"to {np.abs(found.arrays[key]).max():.2g}; trained with them, it is another transform"
            )
