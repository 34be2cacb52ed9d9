"""Pictures of what a Spatial Transformer does to a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import ThinPlateSpline, Transform
from stn_deploy.stn.checks import check_source
from stn_deploy.stn.grid_generator import GridGenerator
from stn_deploy.stn.parallel import ParallelSpatialTransformer
from stn_deploy.stn.parts import Inspection
from stn_deploy.stn.spatial_transformer import SpatialTransformer

if TYPE_CHECKING:
    from stn_deploy.pictures import Picture


def picture_transformer(
    transformer: SpatialTransformer | ParallelSpatialTransformer,
    source: Tensor,
    *,
    limit: int = 8,
    channel_order: str = "BGR",
) -> Picture:
    """A row for each image: U with the box or the control points and the sampling grid, then V.

    The transformer runs in evaluation mode and without gradients, and is then as it was.

    Args:
        transformer: for images; one, or several in parallel.
        source: U, (n, c, H, W).
        limit: only so many images are run and shown.
        channel_order: of three channels, BGR or RGB.
    Returns:
        (h, w, 3) uint8, BGR; `stn_deploy.pictures.save_picture` writes it.
    Raises:
        ArgumentError: another module, a transformer for volumes, or a limit below 1.
        ShapeError: no image, or a source of another shape.
    """
    # Here, because whoever only trains needs no OpenCV.
    from stn_deploy.pictures import Transformation, draw_transformations

    if not isinstance(transformer, (SpatialTransformer, ParallelSpatialTransformer)):
        raise ArgumentError(
            "transformer: expected a SpatialTransformer or a ParallelSpatialTransformer, "
            f"got {type(transformer).__name__}; name the one inside your network"
        )
    transforms = _transforms(transformer)
    if transforms[0].dimensions != 2:
        raise ArgumentError(
            f"transformer: expected one for images, got one for volumes ({transforms[0].name}); draw slices "
            "of U and of V: stn_deploy.pictures.image_from_channels(volume[:, depth])"
        )
    if limit < 1 or limit != int(limit):
        raise ArgumentError(f"limit: expected a whole number of at least 1, got {limit!r}")
    check_source(source)
    if not len(source):
        raise ShapeError(f"source: expected at least one image, got {tuple(source.shape)}")
    shown = source[: int(limit)]
    with _evaluating(transformer), torch.no_grad():
        found = transformer.inspect(shown)
    done = [found] if isinstance(found, Inspection) else found
    rows: list[list[Transformation]] = [[] for _ in shown]
    for inspection, transform in zip(done, transforms, strict=True):
        for row, (output, theta, grid, corners) in zip(rows, _items(inspection), strict=True):
            points = theta.reshape(-1, 2) if isinstance(transform, ThinPlateSpline) else None
            row.append(Transformation(output=output, grid=grid, corners=corners, control_points=points))
    return draw_transformations([_array(image) for image in shown], rows, channel_order=channel_order)


def _transforms(transformer: SpatialTransformer | ParallelSpatialTransformer) -> list[Transform]:
    if isinstance(transformer, SpatialTransformer):
        return [transformer.grid_generator.transform]
    return [cast(GridGenerator, generator).transform for generator in transformer.grid_generators]


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then each part is in the mode in which it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _items(inspection: Inspection) -> Iterator[tuple[NDArray[Any], ...]]:
    """Output, theta, grid and corners of each image."""
    return zip(*(_array(tensor) for tensor in inspection), strict=True)


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().double().numpy()
