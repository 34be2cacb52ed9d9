"""theta is the text line and a margin of the same width on all four sides, in pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import Legendre
from torch import Tensor

from stn_deploy.geometry import control_point_targets, measure_text_lines, pixels_from_normalised
from stn_deploy.training.gate import HALF_HEIGHT, MIDLINE, edge_points, identity_coefficients, with_margin
from tests.tolerances import DIFFERENCE, POINT

SIZES = [(40, 150), (150, 40), (64, 65)]


def straight_line(width: float, height: float, centre: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """Coefficients (1, 9, 2) of an upright box that is given in pixels."""
    coefficients = torch.zeros(1, MIDLINE + HALF_HEIGHT, 2)
    coefficients[0, 0] = torch.tensor([2 * centre[0] / size[1] - 1, 2 * centre[1] / size[0] - 1])
    coefficients[0, 1, 0] = width / size[1]
    coefficients[0, MIDLINE, 1] = height / size[0]
    return coefficients


def in_pixels(points: Tensor, size: tuple[int, int]) -> np.ndarray:
    return pixels_from_normalised(points[0].double().numpy(), size)


@pytest.mark.parametrize("margin", [0.0, 0.15, 0.4])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_straight_box_grows_by_the_margin_on_each_side(size: tuple[int, int], margin: float) -> None:
    coefficients = straight_line(30, 12, (19, 21), size)
    points = edge_points(coefficients, 10)
    assert np.abs(in_pixels(points, size)[[0, -1]] - [[4, 15], [34, 27]]).max() < 1e-3
    theta = with_margin(coefficients, points, torch.tensor([size]).float(), margin)
    grown = in_pixels(theta, size)
    space = 12 * margin
    corners = [
        [4 - space, 15 - space],
        [34 + space, 15 - space],
        [4 - space, 27 + space],
        [34 + space, 27 + space],
    ]
    assert np.abs(grown[[0, 4, 5, 9]] - corners).max() < 1e-3
    assert np.abs(np.diff(grown[:5, 0]) - (30 + 2 * space) / 4).max() < 1e-3


def test_a_bent_line_grows_along_its_own_direction() -> None:
    size = (90, 260)
    coefficients = identity_coefficients()[None] * 0.5
    coefficients[0, 1, 1], coefficients[0, 2, 1] = 0.3, -0.25
    points = edge_points(coefficients, 40)
    theta = with_margin(coefficients, points, torch.tensor([size]).float(), 0.2)
    before, after = (measure_text_lines(in_pixels(line, size)) for line in (points, theta))
    assert abs(after.height / before.height - 1.4) < 0.01
    assert abs(after.length - before.length - 2 * 0.2 * before.height) < 0.05 * before.height
    # The middle of the line stays where it is.
    middles = [(line[0, 10] + line[0, 9] + line[0, 29] + line[0, 30]) / 4 for line in (points, theta)]
    assert (middles[0] - middles[1]).abs().max() < 0.01


def test_a_very_short_line_grows_by_no_more_than_half_of_itself() -> None:
    size = (80, 90)
    coefficients = straight_line(4, 40, (45, 40), size)
    theta = with_margin(coefficients, edge_points(coefficients, 8), torch.tensor([size]).float(), 0.5)
    grown = in_pixels(theta, size)
    assert abs(np.ptp(grown[:, 0]) - 4 * 1.5) < 1e-3
    assert abs(np.ptp(grown[:, 1]) - 80) < 1e-3


@pytest.mark.parametrize("count", [4, 20])
def test_the_identity_line_has_the_identity_control_points(count: int) -> None:
    points = edge_points(identity_coefficients()[None], count)
    assert np.abs(points[0].numpy() - control_point_targets(count)).max() < POINT


def random_line(*, double: bool = False) -> Tensor:
    """Coefficients (1, 9, 2), none of them small."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.float64 if double else torch.float32
    return torch.randn(1, MIDLINE + HALF_HEIGHT, 2, generator=generator, dtype=wide)


def places(coefficients: Tensor, t: float) -> Tensor:
    """Top and bottom edge (2, 2) at t, at least 1 in size."""
    points = edge_points(coefficients, 4, torch.tensor([abs(t) - 1], dtype=torch.float64))
    return points[0, [0, 2] if t < 0 else [1, 3]]


def test_edge_points_follow_legendre_polynomials_from_end_to_end() -> None:
    coefficients = random_line()
    points = edge_points(coefficients, 22)[0].numpy().reshape(2, 11, 2)
    t = np.linspace(-1, 1, 11)
    for axis in (0, 1):
        values = coefficients[0, :, axis].double().numpy()
        middle, half = Legendre(values[:MIDLINE])(t), Legendre(values[MIDLINE:])(t)
        assert np.abs(points[0, :, axis] - (middle - half)).max() < 10 * POINT
        assert np.abs(points[1, :, axis] - (middle + half)).max() < 10 * POINT


@pytest.mark.parametrize("end", [-1.0, 1.0])
def test_a_line_goes_on_straight_beyond_its_ends(end: float) -> None:
    """With the value and the slope that the polynomials have there, as far as one looks."""
    coefficients = random_line(double=True)
    ends = places(coefficients, end)
    slopes = []
    for axis in (0, 1):
        values = coefficients[0, :, axis].numpy()
        middle, half = Legendre(values[:MIDLINE]).deriv()(end), Legendre(values[MIDLINE:]).deriv()(end)
        slopes.append([middle - half, middle + half])
    outwards = end * torch.tensor(slopes, dtype=torch.float64).T
    for distance in (1e-4, 0.1, 0.5, 3.0):
        beyond = places(coefficients, end * (1 + distance))
        assert (beyond - (ends + distance * outwards)).abs().max() < DIFFERENCE * (1 + distance)


def test_an_extension_reaches_past_both_ends() -> None:
    coefficients = identity_coefficients()[None].repeat(2, 1, 1)
    points = edge_points(coefficients, 6, torch.tensor([0.0, 0.25]))
    assert (points[0] - edge_points(coefficients, 6)[0]).abs().max() < POINT
    assert (points[1, [0, 2], 0] - torch.tensor([-1.25, 1.25])).abs().max() < POINT
