"""What is said of a changed crop is what sampling shows: dots are found where the points are said to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stn_deploy.geometry import ThinPlateSpline, pixels_from_normalised
from stn_deploy.stn import GridGenerator, sample
from stn_deploy.training import consistency
from stn_deploy.training.consistency import random_views, seen_points, straightened_points, view
from stn_deploy.training.gate import MIDLINE, edge_points, identity_coefficients, with_margin
from tests.tolerances import ARC, HALF_PIXEL_RULED_OUT, POINT

CROP = (41, 118)
DOT = 2.0
"""Standard deviation of a dot, pixels."""


def dots(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (n, 3, h, w), each with a bright dot at its point (n, 2), normalised."""
    height, width = size
    centres = pixels_from_normalised(points.double().numpy(), size)
    ys, xs = np.mgrid[:height, :width] + 0.5
    squared = (xs - centres[:, 0, None, None]) ** 2 + (ys - centres[:, 1, None, None]) ** 2
    drawn = 200 * np.exp(-squared / (2 * DOT**2))
    return torch.from_numpy(drawn).float()[:, None].expand(-1, 3, -1, -1)


def dot_positions(pictures: Tensor) -> np.ndarray:
    """Where the dots are, (n, 2), pixels from the edges: their centres of mass."""
    weight = pictures[:, 0].double().numpy()
    weight = np.where(weight > 0.05 * weight.max(axis=(1, 2), keepdims=True), weight, 0)
    ys, xs = np.mgrid[: weight.shape[1], : weight.shape[2]] + 0.5
    total = weight.sum(axis=(1, 2))
    return np.stack([(weight * along).sum(axis=(1, 2)) / total for along in (xs, ys)], axis=1)


def some_sizes(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 2, generator=generator) * torch.tensor([90.0, 300.0]) + 10


def some_views(sizes: Tensor) -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return random_views(sizes)


def test_a_dot_is_seen_where_its_point_is_said_to_be() -> None:
    points = torch.rand(60, 1, 2, generator=torch.Generator().manual_seed(2)) * 1.2 - 0.6
    moved, _ = some_views(some_sizes(60))
    expected = pixels_from_normalised(seen_points(points, moved)[:, 0].double().numpy(), CROP)
    found = dot_positions(view(dots(points[:, 0], CROP), moved))
    clear = ((expected > 4 * DOT) & (expected < np.array(CROP[::-1]) - 4 * DOT)).all(axis=1)
    assert clear.sum() > 30
    assert np.abs(found - expected)[clear].max() < HALF_PIXEL_RULED_OUT
    still = pixels_from_normalised(points[:, 0].double().numpy(), CROP)
    assert np.abs(found - still)[clear].max() > 5


def test_views_are_turned_and_cut_but_not_squeezed() -> None:
    """Distances in pixels stay what they are, whatever the shape of the crop."""
    points = torch.rand(50, 7, 2, generator=torch.Generator().manual_seed(3)) * 2 - 1
    sizes = some_sizes(50)
    moved, seen_sizes = some_views(sizes)
    before = points * sizes.flip(1)[:, None] / 2
    after = seen_points(points, moved) * seen_sizes.flip(1)[:, None] / 2
    distances = [torch.cdist(line, line) for line in (before, after)]
    assert ((distances[0] - distances[1]).abs().amax(dim=(1, 2)) / sizes.amax(dim=1)).max() < 10 * POINT


def test_views_stay_within_their_limits_and_use_them() -> None:
    sizes = some_sizes(400)
    moved, seen_sizes = some_views(sizes)
    half, seen_half = sizes.flip(1) / 2, seen_sizes.flip(1) / 2
    turn = moved[:, :, :2] * half[:, :, None] / seen_half[:, None, :]
    angle = torch.atan2(turn[:, 1, 0], turn[:, 0, 0])
    for drawn, limit in (
        (angle, consistency.LARGEST_TURN),
        (seen_sizes / sizes - 1, consistency.LARGEST_SCALE),
        (moved[:, :, 2], consistency.LARGEST_SHIFT),
    ):
        assert 0.95 * limit < drawn.max() < 1.001 * limit
        assert -0.95 * limit > drawn.min() > -1.001 * limit


def test_views_follow_from_the_seed_of_the_step() -> None:
    sizes = some_sizes(9)
    first, again, other = some_views(sizes), some_views(sizes), random_views(sizes)
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def lines() -> dict[str, tuple[Tensor, tuple[int, int]]]:
    """Coefficients (1, 9, 2) and the size of the crop, pixels."""
    straight = identity_coefficients()[None] * torch.tensor([0.6, 0.5])
    bent = straight.clone()
    bent[0, 0] = torch.tensor([0.05, -0.1])
    bent[0, 1, 1], bent[0, 2, 1], bent[0, 3, 1] = 0.12, -0.15, 0.04
    bent[0, 7] = torch.tensor([0.03, 0.08])
    short = straight * torch.tensor([0.25, 1.2])
    return {"straight": (straight, (90, 240)), "bent": (bent, (140, 260)), "short": (short, (120, 90))}


@pytest.mark.parametrize("margin", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("name", lines())
def test_the_text_is_where_the_straightened_crop_shows_it(name: str, margin: float) -> None:
    line, size = lines()[name]
    count, shown = 20, (60, 180)
    points = edge_points(line, count)
    sizes = torch.tensor([size], dtype=torch.float32)
    theta = with_margin(line, points, sizes, margin)
    spline = ThinPlateSpline.on_edges(count, kernel_aspect=0.15)
    grid = GridGenerator(spline, shown)(theta.flatten(1)).expand(count, -1, -1, -1)
    # A picture in which the text is about as large as in the straightened crop, so that dots stay round.
    drawn = dots(points[0], (round(45 / float(line[0, MIDLINE, 1])), round(120 / float(line[0, 1, 0]))))
    found = dot_positions(sample(drawn, grid, padding="zeros"))
    said, _ = straightened_points(points, sizes, margin)
    expected = pixels_from_normalised(said[0].double().numpy(), shown)
    clear = ((expected > 2.5 * DOT) & (expected < np.array(shown[::-1]) - 2.5 * DOT)).all(axis=1)
    assert clear.all() == (margin > 0)
    text_height = shown[0] / (1 + 2 * margin)
    allowed = ARC * text_height if name == "bent" else HALF_PIXEL_RULED_OUT
    assert np.abs(found - expected)[clear].max(initial=0) < allowed


@pytest.mark.parametrize("margin", [0.0, 0.15, 0.3])
def test_a_straightened_box_is_as_large_as_itself_and_its_margin(margin: float) -> None:
    line, size = lines()["straight"]
    points = edge_points(line, 8)
    found, sizes = straightened_points(points, torch.tensor([size], dtype=torch.float32), margin)
    height, length = 45.0, 144.0
    border = 2 * margin * height
    assert np.abs(sizes[0].numpy() - [height + border, length + border]).max() < 1e-3
    corners = found[0, [0, 3, 4, 7]] * sizes.flip(1) / 2
    x, y = length / 2, height / 2
    assert np.abs(corners.numpy() - [[-x, -y], [x, -y], [-x, y], [x, y]]).max() < 1e-3


def test_a_line_without_extent_still_has_a_straightened_crop() -> None:
    points = torch.full((1, 8, 2), 0.2)
    found, sizes = straightened_points(points, torch.tensor([[30.0, 80.0]]), 0.15)
    assert found.isfinite().all()
    assert (sizes >= 1).all()
