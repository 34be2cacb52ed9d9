"""TRBA and what was built on it: the transformation of clovaai/deep-text-recognition-benchmark."""

from __future__ import annotations

from pathlib import Path

from stn_deploy.export.importing.fold import Layer, batch_norm_folded, for_bgr, for_edges, without_bias
from stn_deploy.export.importing.found import FoundWeights, find_weights
from stn_deploy.export.importing.network import (
    Sizes,
    check_colours,
    check_spline,
    chosen,
    published_rectifier,
    size_of_grid,
)
from stn_deploy.export.importing.weights import Arrays
from stn_deploy.geometry import TextSpline
from stn_deploy.geometry.convention import Size
from stn_deploy.training.published import PublishedRectifier

_CHANNELS = (64, 128, 256, 512)
_PUBLISHED = (32, 100)


def import_trba(path: Path, weights: Arrays, sizes: Sizes) -> PublishedRectifier:
    """The rectifier of TRBA: the whole input as thumbnail, 32 x 100, grey or RGB.

    Its grid lies on pixel centres, its sampling aligns corners and repeats the border.

    Raises:
        ArtifactError: not its weights. ArgumentError: an input size that is not that of the file.
    Source: Baek et al. 2019, What Is Wrong With Scene Text Recognition Model Comparisons?
    """
    return rectifier_of(find_weights(path, weights, "trba"), sizes, family="trba", order="RGB")


def rectifier_of(found: FoundWeights, sizes: Sizes, *, family: str, order: str) -> PublishedRectifier:
    """The rectifier in TRBA's layout; ``order`` is that of the colours that it was trained on."""
    convolutions = []
    before: int | None = None
    for index, after in enumerate(_CHANNELS):
        weight = found.take(f"LocalizationNetwork.conv.{4 * index}.weight", after, before, 3, 3)
        name = f"LocalizationNetwork.conv.{4 * index + 1}"
        convolutions.append(batch_norm_folded(without_bias(weight), found, name))
        before = after
    check_colours(found, convolutions[0])
    convolutions[0] = for_bgr(convolutions[0], order)
    fully, final = "LocalizationNetwork.localization_fc1.0", "LocalizationNetwork.localization_fc2"
    dense = Layer(found.take(f"{fully}.weight", 256, _CHANNELS[-1]), found.take(f"{fully}.bias", 256))
    last_weight = found.take(f"{final}.weight", None, 256)
    last = Layer(last_weight, found.take(f"{final}.bias", len(last_weight)))
    spline = TextSpline()
    input_size = chosen(
        "--input-size", sizes.input, _stored_size(found, spline, len(last.bias) // 2), _PUBLISHED
    )
    return published_rectifier(
        found,
        family=family,
        convolutions=convolutions,
        dense=dense,
        last=for_edges(last, input_size),
        pooled=True,
        input_size=input_size,
        output_size=sizes.output or input_size,
        thumbnail_size=input_size,
        spline=spline,
    )


def _stored_size(found: FoundWeights, spline: TextSpline, count: int) -> Size | None:
    """The size that its buffers were made for, which is that of input and output; None without buffers."""
    grid, system = "GridGenerator.P_hat", "GridGenerator.inv_delta_C"
    if grid not in found.arrays or system not in found.arrays:
        return None
    rows = found.take(grid, None, count + 3)
    size = size_of_grid(found, grid, rows[:, 1:3])
    check_spline(found, grid, rows @ found.take(system, count + 3, count + 3)[:, :count], spline, size)
    return size
