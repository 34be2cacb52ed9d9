"""theta is the text line and a margin of the same width on all four sides, in pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stn_deploy.geometry import control_point_targets, measure_text_lines, pixels_from_normalised
from stn_deploy.training.gate import MIDLINE, edge_points, identity_coefficients, with_margin
from tests.tolerances import POINT

SIZES = [(40, 150), (150, 40), (64, 65)]


def straight_line(width: float, height: float, centre: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """Coefficients (1, 7, 2) of an upright box that is given in pixels."""
    coefficients = torch.zeros(1, 7, 2)
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


def test_edge_points_follow_the_polynomials_from_end_to_end() -> None:
    coefficients = torch.randn(2, 7, 2, generator=torch.Generator().manual_seed(0))
    points = edge_points(coefficients, 6)
    for item, t in ((0, -1.0), (1, -1.0), (0, 0.0), (1, 1.0)):
        place = {-1.0: 0, 0.0: 1, 1.0: 2}[t]
        powers = torch.tensor([1, t, t * t, t * t * t])
        middle = powers @ coefficients[item, :4]
        half = powers[:3] @ coefficients[item, 4:]
        assert (points[item, place] - (middle - half)).abs().max() < 10 * POINT
        assert (points[item, place + 3] - (middle + half)).abs().max() < 10 * POINT


def test_an_extension_reaches_past_both_ends() -> None:
    coefficients = identity_coefficients()[None].repeat(2, 1, 1)
    points = edge_points(coefficients, 6, torch.tensor([0.0, 0.25]))
    assert (points[0] - edge_points(coefficients, 6)[0]).abs().max() < POINT
    assert (points[1, [0, 2], 0] - torch.tensor([-1.25, 1.25])).abs().max() < POINT
