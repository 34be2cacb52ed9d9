"""MMOCR: ASTER's rectifier in its own names, and TRBA's in those of the original."""

from __future__ import annotations

from pathlib import Path

from stn_deploy.export.importing import aster, trba
from stn_deploy.export.importing.fold import Layer, batch_norm_folded, without_bias
from stn_deploy.export.importing.found import TRBA, find_weights
from stn_deploy.export.importing.network import Sizes
from stn_deploy.export.importing.weights import Arrays
from stn_deploy.training.published import PublishedRectifier


def import_mmocr(path: Path, weights: Arrays, sizes: Sizes) -> PublishedRectifier:
    """The preprocessor of a recogniser of MMOCR: the STN of ASTER (1.x), or the TPS of CRNN-TPS (0.x, grey).

    As in ASTER, but for colours in BGR, and convolutions without bias. It aligns corners in so many words.

    Raises:
        ArtifactError: not its weights. ArgumentError: a size that is not that of the file.
    """
    found = find_weights(path, weights, "mmocr")
    if found.layout == TRBA:
        return trba.rectifier_of(found, sizes, family="mmocr", order="BGR")
    convolutions = []
    for index, (before, after) in enumerate(aster.channel_pairs()):
        name = f"stn_convnet.{2 * index}"
        convolution = without_bias(found.take(f"{name}.conv.weight", after, before, 3, 3))
        convolutions.append(batch_norm_folded(convolution, found, f"{name}.bn"))
    dense = Layer(
        found.take("stn_fc1.0.weight", aster.DENSE, 2 * aster.CHANNELS[-1]),
        found.take("stn_fc1.0.bias", aster.DENSE),
    )
    weight = found.take("stn_fc2.weight", None, aster.DENSE)
    return aster.rectifier_of(
        found,
        sizes,
        family="mmocr",
        order="BGR",
        convolutions=convolutions,
        dense=batch_norm_folded(dense, found, "stn_fc1.1"),
        last=Layer(weight, found.take("stn_fc2.bias", len(weight))),
    )
