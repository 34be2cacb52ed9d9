"""The weights of one module among those of a whole recogniser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArtifactError
from stn_deploy.export.importing.weights import Arrays

FloatArray = NDArray[np.float64]

TRBA = "LocalizationNetwork.conv.0.weight"
ASTER = "stn_head.stn_convnet.0.0.weight"
MMOCR = "stn_convnet.0.conv.weight"
PADDLE_TPS = "loc_net.loc_conv0.conv.weight"
LAYOUTS = {"trba": (TRBA,), "aster": (ASTER,), "mmocr": (MMOCR, TRBA), "paddleocr": (PADDLE_TPS, ASTER)}
"""The weight of the first convolution, by which each family's rectifiers are known."""


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """Weights whose names begin with one prefix.

    path: of the file, for messages. layout: the name in `LAYOUTS` by which the module is known.
    arrays: by name, without the prefix.
    """

    path: Path
    prefix: str
    layout: str
    arrays: Arrays

    def take(self, name: str, *shape: int | None) -> FloatArray:
        """A weight of a shape; None is any length.

        Raises:
            ArtifactError: it is missing, of another shape, or has values that are not finite.
        """
        if name not in self.arrays:
            raise ArtifactError(
                f"{self.path}: expected {self.prefix}{name} beside {self.prefix}{self.layout}, found none"
            )
        values = self.arrays[name]
        fits = len(shape) == values.ndim and all(
            side in (None, found) for side, found in zip(shape, values.shape, strict=True)
        )
        if not fits:
            expected = ", ".join("any" if side is None else str(side) for side in shape)
            raise ArtifactError(
                f"{self.path}: {self.prefix}{name}: expected ({expected}), got {values.shape}; it is of "
                "another architecture"
            )
        if not np.isfinite(values).all():
            raise ArtifactError(f"{self.path}: {self.prefix}{name}: expected numbers, got NaN or infinity")
        return values


def find_weights(path: Path, weights: Arrays, family: str) -> FoundWeights:
    """The weights of a family's rectifier, whatever stands before their names.

    Args:
        path: for messages. weights: all that the file holds. family: one of `LAYOUTS`.
    Raises:
        ArtifactError: it is not there, or several times.
    """
    for layout in LAYOUTS[family]:
        prefixes = _prefixes(weights, layout)
        if len(prefixes) > 1:
            raise ArtifactError(
                f"{path}: expected one rectifier, found several: under {', '.join(sorted(prefixes))}; keep "
                "the weights of one of them"
            )
        if prefixes:
            prefix = prefixes[0]
            names = [name for name in weights if name.startswith(prefix)]
            under = {name.removeprefix(prefix): weights[name] for name in names}
            return FoundWeights(path=path, prefix=prefix, layout=layout, arrays=under)
    others = [
        other for other, layouts in LAYOUTS.items() if any(_prefixes(weights, each) for each in layouts)
    ]
    remedy = (
        f"it looks like {' or '.join(others)}: stn-deploy import {others[0]}"
        if others
        else "the recogniser was trained without one, or is of another family"
    )
    raise ArtifactError(
        f"{path}: expected the rectifier of {family}, a weight named ...{' or ...'.join(LAYOUTS[family])}; "
        f"found none among {len(weights)} weights ({', '.join(list(weights)[:3])}, ...); {remedy}"
    )


def _prefixes(weights: Arrays, layout: str) -> list[str]:
    """What stands before a name, wherever it ends one."""
    return [name.removesuffix(layout) for name in weights if f".{name}".endswith(f".{layout}")]
