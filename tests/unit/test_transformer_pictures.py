"""Pictures of Spatial Transformers: they show what was looked at, and leave the transformer as it was."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from stn_deploy.data import read_image
from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import (
    AFFINE,
    AFFINE_3D,
    ATTENTION,
    PROJECTIVE,
    ThinPlateSpline,
    Transform,
    inset_control_points,
)
from stn_deploy.pictures import Transformation, draw_transformations, image_from_channels, save_picture
from stn_deploy.pictures.drawing import BOX, POINT
from stn_deploy.stn import (
    FullyConnectedLocalisation,
    ParallelSpatialTransformer,
    Sampler,
    SpatialTransformer,
    picture_transformer,
    theta_layer,
)
from tests.pictures import Image

SIZE = (1, 20, 36)
TOP = 40  # of the first row, below the headings


class Normalised(nn.Module):
    """A localisation network with batch norm and dropout, which answers with one theta."""

    def __init__(self, start: ArrayLike) -> None:
        super().__init__()
        features = int(np.prod(SIZE))
        self.layers = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(features), nn.Dropout(0.5))
        self.last = theta_layer(features, start)

    def forward(self, source: Tensor) -> Tensor:
        theta: Tensor = self.last(self.layers(source))
        return theta


def transformer(transform: Transform, start: ArrayLike | None = None, **sampler: Any) -> SpatialTransformer:
    theta = transform.identity if start is None else start
    return SpatialTransformer(FullyConnectedLocalisation(SIZE, theta), transform, Sampler(**sampler), (9, 14))


def parallel(count: int) -> ParallelSpatialTransformer:
    starts = [[0.15, -0.8 + 1.6 * index / max(1, count - 1), 0.0] for index in range(count)]
    networks = [FullyConnectedLocalisation(SIZE, start) for start in starts]
    return ParallelSpatialTransformer(networks, [ATTENTION] * count, Sampler(), (9, 14))


def sources(count: int = 1) -> Tensor:
    return torch.rand(count, *SIZE, generator=torch.Generator().manual_seed(3))


def shows(picture: Image, colour: tuple[int, ...]) -> int:
    return int((picture == np.array(colour, np.uint8)).all(axis=2).sum())


def framed(picture: Image) -> list[tuple[int, ...]]:
    """The colours in the topmost line of the first row that are neither paper nor margin: those of V."""
    colours = [tuple(run) for run, _ in itertools.groupby(picture[TOP].tolist())]
    return [colour for colour in colours if len(set(colour)) > 1]


def test_one_transformer_shows_box_and_grid_and_output() -> None:
    picture = picture_transformer(transformer(AFFINE, [0.7, -0.3, 0.1, 0.3, 0.6, 0.0]), sources())
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert framed(picture) == [BOX]
    assert shows(picture, POINT) == 0
    straight = picture_transformer(transformer(AFFINE), sources())
    assert not np.array_equal(straight, picture[: len(straight), : straight.shape[1]])


def test_a_spline_shows_its_control_points() -> None:
    spline = ThinPlateSpline.on_edges(10)
    picture = picture_transformer(transformer(spline, inset_control_points(10, 0.2)), sources())
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    points = cv2.morphologyEx(
        (picture == np.array(POINT, np.uint8)).all(axis=2).astype(np.uint8), cv2.MORPH_OPEN, kernel
    )
    assert cv2.connectedComponents(points)[0] - 1 == 10


def test_the_output_is_shown_on_the_scale_of_the_source() -> None:
    source = torch.cat([torch.full((1, *SIZE[:2], 18), -3.0), torch.full((1, *SIZE[:2], 18), 5.0)], dim=3)
    right_half = picture_transformer(transformer(ATTENTION, [0.3, 0.6, 0.0]), source)
    output = right_half[:, right_half.shape[1] // 2 + 40 :]
    assert shows(output[TOP + 20 : TOP + 60, 20:60], (255, 255, 255)) == 40 * 40


def test_what_lies_outside_the_source_is_seen_in_a_margin() -> None:
    near, far = (transformer(ATTENTION, [scale, 0.0, 0.0]) for scale in (1.0, 1.5))
    pictures = [picture_transformer(module, sources()) for module in (near, far)]
    heights = [picture.shape[0] for picture in pictures]
    assert heights[0] < heights[1]
    assert all(shows(picture[:, : picture.shape[1] // 2], BOX) > 500 for picture in pictures)
    strange = [
        picture_transformer(transformer(ATTENTION, [scale, 0.0, 0.0]), sources()) for scale in (3, 1e9)
    ]
    assert strange[0].shape == strange[1].shape


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_parallel_transformers_have_colours_of_their_own(count: int) -> None:
    picture = picture_transformer(parallel(count), sources())
    colours = framed(picture)
    assert len(set(colours)) == len(colours) == count
    seen = picture[:, : 36 * 11 + 40 + 14]  # U
    assert all(shows(seen, colour) > 50 for colour in colours)


def test_parallel_splines_are_drawn_in_their_colours() -> None:
    splines = [ThinPlateSpline.on_edges(6), ThinPlateSpline.on_lattice(3, 3)]
    networks = [FullyConnectedLocalisation(SIZE, 0.7 * spline.identity) for spline in splines]
    picture = picture_transformer(
        ParallelSpatialTransformer(networks, splines, Sampler(), (9, 14)), sources()
    )
    assert len(set(framed(picture))) == 2
    assert shows(picture, POINT) == 0


def test_a_batch_becomes_rows_up_to_a_limit() -> None:
    module = parallel(2)
    heights = [picture_transformer(module, sources(9), limit=limit).shape[0] for limit in (1, 2, 3, 9, 20)]
    step = heights[1] - heights[0]
    assert step > 100
    assert heights == [heights[0] + step * more for more in (0, 1, 2, 8, 8)]
    first = picture_transformer(module, sources(9)[:1])
    assert np.array_equal(picture_transformer(module, sources(9), limit=1), first)


def test_the_transformer_stays_in_training_with_its_statistics() -> None:
    module = SpatialTransformer(Normalised(AFFINE.identity), AFFINE, Sampler(), (9, 14)).train()
    module.localisation.layers[1].eval()  # type: ignore[index,union-attr]
    modes = [part.training for part in module.modules()]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    pictures = [picture_transformer(module, sources(4).requires_grad_()) for _ in range(2)]
    assert np.array_equal(pictures[0], pictures[1])  # no dropout
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_failure_leaves_the_mode_alone_too() -> None:
    module = transformer(AFFINE).train()
    with pytest.raises(ShapeError):
        picture_transformer(module, torch.rand(1, 1, 7, 7))
    assert all(part.training for part in module.modules())


@pytest.mark.parametrize("start", [[np.nan] * 8, [1e30] * 8, [1, 0, 0, 0, 1, 0, 1.0, 1.0], [0] * 8])
def test_a_transformer_gone_astray_can_be_looked_at(start: list[float]) -> None:
    module = transformer(PROJECTIVE)
    with torch.no_grad():
        module.localisation.last.bias.copy_(torch.tensor(start))  # type: ignore[union-attr,operator]
    assert picture_transformer(module, sources()).shape[2] == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_point_type_is_drawn_alike(dtype: torch.dtype) -> None:
    module = transformer(AFFINE, [0.7, -0.3, 0.1, 0.3, 0.6, 0.0])
    expected = picture_transformer(module, sources())
    picture = picture_transformer(module.to(dtype), sources().to(dtype))
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).mean() < 2


def test_what_has_no_picture_is_refused_with_the_way_out() -> None:
    volumes = SpatialTransformer(
        FullyConnectedLocalisation((1, 4, 5, 6), AFFINE_3D.identity),
        AFFINE_3D,
        Sampler("trilinear"),
        (4, 5, 6),
    )
    with pytest.raises(ArgumentError, match=r"got one for volumes \(.*\); draw slices"):
        picture_transformer(volumes, torch.rand(1, 1, 4, 5, 6))
    with pytest.raises(
        ArgumentError, match="expected a SpatialTransformer .* got Linear; name the one inside"
    ):
        picture_transformer(nn.Linear(2, 2), sources())  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="limit: expected a whole number of at least 1, got 0"):
        picture_transformer(transformer(AFFINE), sources(), limit=0)
    with pytest.raises(ShapeError, match="source: expected at least one image"):
        picture_transformer(transformer(AFFINE), sources(0))
    with pytest.raises(ShapeError, match=r"source: expected \(n, c, H, W\)"):
        picture_transformer(transformer(AFFINE), sources()[0])
    with pytest.raises(ArgumentError, match="channel_order: expected BGR or RGB, got 'GRB'"):
        picture_transformer(transformer(AFFINE), sources(), channel_order="GRB")


def test_a_picture_of_a_transformer_goes_into_a_file(tmp_path: Path) -> None:
    picture = picture_transformer(parallel(2), sources(2))
    save_picture(picture, tmp_path / "picture.png")
    assert np.array_equal(read_image(tmp_path / "picture.png"), picture)


def test_channels_become_grey_or_colour_or_their_mean() -> None:
    channels = np.random.default_rng(0).uniform(size=(5, 4, 7))
    bytes_of = np.round(channels * 255)
    assert np.array_equal(image_from_channels(channels[:1]), bytes_of[0, ..., None].repeat(3, axis=2))
    assert np.array_equal(image_from_channels(channels[:3]), np.moveaxis(bytes_of[:3], 0, 2))
    swapped = image_from_channels(channels[:3], channel_order="RGB")
    assert np.array_equal(swapped, image_from_channels(channels[:3])[..., ::-1])
    mean = np.round(channels.mean(axis=0) * 255)
    assert np.array_equal(image_from_channels(channels), mean[..., None].repeat(3, axis=2))


def test_values_beyond_0_and_1_are_scaled_by_their_least_and_largest() -> None:
    image = image_from_channels(np.array([[[-4.0, 0.0, 4.0, np.nan, np.inf, -np.inf]]]))
    assert image[0, :, 0].tolist() == [0, 128, 255, 0, 255, 0]
    like = np.array([[[-8.0, 8.0]]])
    assert image_from_channels(np.array([[[-8.0, 0.0, 99.0]]]), like=like)[0, :, 0].tolist() == [0, 128, 255]
    assert image_from_channels(np.array([[[0.25, 0.75]]]))[0, :, 0].tolist() == [64, 191]


@pytest.mark.parametrize("value", [-7.0, 1e30, np.nan, np.inf, 5e-324, 1.7e308])
def test_a_constant_of_any_size_is_a_picture(value: float) -> None:
    image = image_from_channels(np.full((4, 3, 5), value))
    assert image.shape == (3, 5, 3)
    assert np.ptp(image) == 0


def test_arrays_of_another_shape_are_refused() -> None:
    good = {"output": np.zeros((1, 3, 4)), "grid": np.zeros((3, 4, 2)), "corners": np.zeros((4, 2))}
    Transformation(**good)
    wrong = {"output": (3, 4), "grid": (3, 4, 3), "corners": (8, 3), "control_points": (2, 10, 2)}
    for name, shape in wrong.items():
        with pytest.raises(ShapeError, match=f"{name}: expected"):
            Transformation(**{**good, name: np.zeros(shape)})
    with pytest.raises(ShapeError, match=r"channels: expected \(c, h, w\)"):
        image_from_channels(np.zeros((3, 4)))
    with pytest.raises(ArgumentError, match="sources: expected at least one, each with"):
        draw_transformations([np.zeros((1, 3, 4))], [[]])
    two = [Transformation(**good)] * 2
    with pytest.raises(ShapeError, match="rows: expected one entry for each of"):
        draw_transformations([np.zeros((1, 3, 4))] * 2, [two, two[:1]])
