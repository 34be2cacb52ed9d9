"""The rectifiers of published recognisers, as ours: each with its own layout, colours and corners.

weights      opening files of weights, without running anything in them; arrays_only reads those of Paddle
found        the rectifier among the weights of a recogniser
fold         batch norm, units and the order of colours, folded into the weights
network      the spec, and what of the file it is checked against
trba, aster, mmocr, paddleocr    one family each
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stn_deploy.errors import ArgumentError
from stn_deploy.export.importing.aster import import_aster
from stn_deploy.export.importing.mmocr import import_mmocr
from stn_deploy.export.importing.network import Sizes
from stn_deploy.export.importing.paddleocr import import_paddleocr
from stn_deploy.export.importing.trba import import_trba
from stn_deploy.export.importing.weights import Arrays, open_weights
from stn_deploy.geometry.convention import Size
from stn_deploy.training.published import PublishedRectifier

FAMILIES: dict[str, Callable[[Path, Arrays, Sizes], PublishedRectifier]] = {
    "trba": import_trba,
    "aster": import_aster,
    "mmocr": import_mmocr,
    "paddleocr": import_paddleocr,
}
"""Whose rectifiers can be imported."""


def import_rectifier(
    family: str, path: Path, *, input_size: Size | None = None, output_size: Size | None = None
) -> PublishedRectifier:
    """The rectifier of a published recogniser, ready to be saved and exported.

    Args:
        family: one of `FAMILIES`. path: of its weights, see `open_weights`.
        input_size: height and width of the images that the recogniser takes, pixels, where the file does not
            tell; as published by default.
        output_size: of the straightened image; that of the file, or as published, by default.
    Raises:
        ArgumentError: an unknown family, or an input size that is not that of the file.
        ArtifactError: a file that cannot be opened safely, or does not hold such a rectifier.
    """
    if family not in FAMILIES:
        raise ArgumentError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}")
    rectifier = FAMILIES[family](path, open_weights(path), Sizes(input=input_size, output=output_size))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rectifier.spec = replace(rectifier.spec, recipe={**rectifier.spec.recipe, "weights_sha256": digest})
    return rectifier


__all__ = ["FAMILIES", "import_rectifier", "open_weights"]
