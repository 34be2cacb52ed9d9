"""Folded layers and what is known of a recogniser -> our rectifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stn_deploy.artifact import RectifierSpec
from stn_deploy.errors import ArgumentError, ArtifactError
from stn_deploy.export.importing.fold import Layer
from stn_deploy.export.importing.found import FoundWeights
from stn_deploy.geometry import TextSpline
from stn_deploy.geometry.convention import Size
from stn_deploy.training.published import PUBLISHED, PublishedRectifier

_SAME_SPLINE = 0.01
"""Of the largest coefficient: what float32 leaves of a matrix that was inverted in it, and more."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Heights and widths that the user chose, pixels; None: those of the file or as published."""

    input: Size | None = None
    output: Size | None = None


def published_rectifier(
    found: FoundWeights,
    *,
    family: str,
    convolutions: Sequence[Layer],
    dense: Layer,
    last: Layer,
    pooled: bool,
    input_size: Size,
    output_size: Size,
    thumbnail_size: Size,
    thumbnail_align_corners: bool = False,
    spline: TextSpline,
    padding: str = "border",
) -> PublishedRectifier:
    """A rectifier with the weights of folded layers.

    Raises:
        ArtifactError: layers that do not fit together, or sizes out of range.
    """
    colours = convolutions[0].weight.shape[1]
    spec = RectifierSpec(
        control_points=count_control_points(found, last),
        output_size=output_size,
        thumbnail_size=thumbnail_size,
        kernel_aspect=spline.kernel_aspect,
        margin=0.0,
        threshold=0.0,  # its recogniser knows straightened images only
        localisation={
            "network": PUBLISHED,
            "colours": colours,
            "channels": [len(layer.bias) for layer in convolutions],
            "dense": len(dense.bias),
            "pooled": pooled,
        },
        recipe={"name": family, "prefix": found.prefix},
        padding=padding,
        control_inset=spline.control_inset,
        target_align_corners=spline.target_align_corners,
        input_size=input_size,
        thumbnail_align_corners=thumbnail_align_corners,
    )
    rectifier = PublishedRectifier(spec)
    names = [f"network.features.{3 * index}" for index in range(len(convolutions))]
    layers = zip((*names, "network.reduce", "network.last"), (*convolutions, dense, last), strict=True)
    weights = {
        f"{name}.{part}": torch.from_numpy(np.array(values, np.float32))
        for name, layer in layers
        for part, values in layer._asdict().items()
    }
    try:
        rectifier.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"{found.path}: the layers do not fit together: {error}") from error
    return rectifier.eval()


def count_control_points(found: FoundWeights, last: Layer) -> int:
    """K, which only the last layer tells.

    Raises:
        ArtifactError: it gives no even number of points.
    """
    if len(last.bias) % 4 or len(last.bias) < 8:
        raise ArtifactError(
            f"{found.path}: {found.prefix}: expected two rows of control points, x and y of each, got a last "
            f"layer of {len(last.bias)} numbers"
        )
    return len(last.bias) // 2


def check_colours(found: FoundWeights, first: Layer) -> None:
    """Refuse a first convolution for anything but grey or colour.

    Raises:
        ArtifactError: it takes neither one nor three channels.
    """
    if first.weight.shape[1] not in (1, 3):
        raise ArtifactError(
            f"{found.path}: {found.prefix}: expected a first convolution for grey or colour, 1 or 3 channels,"
            f" got {first.weight.shape[1]}"
        )


def chosen(name: str, asked: Size | None, stored: Size | None, published: Size) -> Size:
    """A size: the one that the file tells, else the one that was asked for, else the published one.

    Raises:
        ArgumentError: another one was asked for than the file tells.
    """
    if stored is not None and asked is not None and asked != stored:
        raise ArgumentError(
            f"{name}: expected {stored[0]}x{stored[1]}, which the file tells, got {asked[0]}x{asked[1]}"
        )
    return stored or asked or published


def size_of_grid(found: FoundWeights, name: str, points: NDArray[np.float64]) -> Size:
    """Height and width of a grid of points (P, 2), row by row.

    Raises:
        ArtifactError: the points are no grid.
    """
    width, height = (len(np.unique(points[:, axis].astype(np.float32))) for axis in (0, 1))
    if width * height != len(points):
        raise ArtifactError(
            f"{found.path}: {found.prefix}{name}: expected a grid of points, got {len(points)} points in "
            f"{width} columns and {height} rows"
        )
    return height, width


def check_spline(
    found: FoundWeights, name: str, stored: NDArray[np.float64], spline: TextSpline, size: Size
) -> None:
    """Compare the spline that the file brings with the one that is taken for it.

    Args:
        name: of what the file brings. stored: its folded basis, (P, K). size: of its grid.
    Raises:
        ArtifactError: they differ.
    """
    expected = spline.pixel_basis(stored.shape[1], size)
    off = float(np.abs(stored - expected).max()) / float(np.abs(expected).max())
    if not off <= _SAME_SPLINE:
        raise ArtifactError(
            f"{found.path}: {found.prefix}{name}: expected the published spline, got one that differs by "
            f"{off:.2g} of its largest coefficient: its control points lie elsewhere"
        )
