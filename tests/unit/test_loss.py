"""The loss of the control points, by hand in simple cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stn_deploy.geometry import normalised_from_pixels
from stn_deploy.training.loss import point_error, point_loss
from tests.pictures import box_points

SIZE = (60, 200)
SIZES = torch.tensor([SIZE], dtype=torch.float32)
COUNT = 10  # five on an edge, of which three are not ends
HEIGHT = 20.0
PLAIN = {"along_weight": 1.0, "beta": 0.1}


def line(tilt: float = 0.0) -> np.ndarray:
    return box_points(COUNT, width=120, height=HEIGHT, centre=(100, 30), tilt=tilt)


def normalised(points: np.ndarray) -> Tensor:
    return torch.from_numpy(normalised_from_pixels(points, SIZE)).float()[None]


def moved(points: np.ndarray, index: int, along: float, across: float, tilt: float = 0.0) -> np.ndarray:
    """One point moved along and across a line that is turned by ``tilt``; pixels."""
    direction = np.array([np.cos(tilt), np.sin(tilt)])
    changed = points.copy()
    changed[index] += along * direction + across * np.array([-direction[1], direction[0]])
    return changed


def loss(points: np.ndarray, truth: np.ndarray, **settings: float) -> float:
    return float(point_loss(normalised(points), normalised(truth), SIZES, **{**PLAIN, **settings}))


def test_it_is_zero_at_the_truth_and_nowhere_else() -> None:
    truth = line(0.4)
    assert loss(truth, truth) < 1e-9
    for index in range(COUNT):
        assert loss(moved(truth, index, 3, 0), truth) > 1e-3
        assert loss(moved(truth, index, 0, -3), truth) > 1e-3


@pytest.mark.parametrize("tilt", [0.0, 0.7, -2.0])
@pytest.mark.parametrize("index", [0, 2, 7, 9])
def test_it_has_the_value_that_the_hand_finds(index: int, tilt: float) -> None:
    """Errors of 0.4 and 0.05 text heights, one above and one below beta = 0.1, at one point of ten."""
    points = moved(line(tilt), index, along=0.4 * HEIGHT, across=0.05 * HEIGHT, tilt=tilt)
    by_hand = (0.4 - 0.1 / 2) / COUNT + 0.5 * 0.05**2 / 0.1 / COUNT
    assert abs(loss(points, line(tilt)) - by_hand) < 1e-5


def test_the_weight_along_the_line_counts_there_alone_and_not_at_the_ends() -> None:
    truth = line(0.5)
    for index in range(COUNT):
        along, across = (moved(truth, index, *move, tilt=0.5) for move in ((6, 0), (0, 6)))
        at_end = index in (0, 4, 5, 9)
        full, half = loss(along, truth), loss(along, truth, along_weight=0.5)
        assert abs(half - full * (1.0 if at_end else 0.5)) < 1e-5
        assert abs(loss(across, truth, along_weight=0.0) - loss(across, truth)) < 1e-5


def test_it_is_measured_in_text_heights_not_in_pixels() -> None:
    truth = line()
    points = moved(moved(truth, 3, 4, 2), 8, -3, 5)
    twice = point_loss(normalised(points), normalised(truth), 2 * SIZES, **PLAIN)
    assert abs(float(twice) - loss(points, truth)) < 1e-6


def tapered(right_over_left: float) -> np.ndarray:
    """The straight line with its right end lower, the heights between in proportion."""
    points = line()
    factors = np.linspace(1, right_over_left, COUNT // 2)
    points[:, 1] = 30 + (points[:, 1] - 30) * np.tile(factors, 2)
    return points


def test_an_error_counts_in_heights_of_the_text_at_its_point() -> None:
    """The same part of the height costs the same at the high and at the low end of a word in perspective."""
    truth = tapered(0.4)
    high, low = moved(truth, 0, 0, 0.2 * HEIGHT), moved(truth, 4, 0, 0.2 * 0.4 * HEIGHT)
    assert abs(loss(high, truth) - loss(low, truth)) < 1e-5
    assert loss(moved(truth, 4, 0, 0.2 * HEIGHT), truth) > 1.5 * loss(high, truth)


def test_where_a_text_runs_out_an_error_does_not_count_without_bound() -> None:
    """Below 0.3 of the mean height it is taken as that high."""
    truth = tapered(0.0)
    mean = HEIGHT / 2
    by_hand = (1.0 - 0.1 / 2) / COUNT
    assert abs(loss(moved(truth, 4, 0, 0.3 * mean), truth) - by_hand) < 1e-5


def test_pictures_of_a_batch_count_alike() -> None:
    truth, points = line(), moved(line(), 2, 5, 5)
    both = point_loss(
        torch.cat([normalised(points), normalised(truth)]),
        normalised(truth).repeat(2, 1, 1),
        SIZES.repeat(2, 1),
        **PLAIN,
    )
    assert abs(float(both) - loss(points, truth) / 2) < 1e-6


def test_the_reported_error_is_the_mean_distance_in_text_heights() -> None:
    truth = line(0.3)
    points = moved(moved(truth, 1, 0.3 * HEIGHT, 0.4 * HEIGHT), 6, 0.0, HEIGHT)
    error = point_error(normalised(points), normalised(truth), SIZES)
    assert error.shape == (1,)
    assert abs(float(error) - (0.5 + 1.0) / COUNT) < 1e-5


def test_gradients_are_finite_even_where_a_text_has_no_extent() -> None:
    truth = torch.zeros(1, COUNT, 2)
    points = torch.full((1, COUNT, 2), 0.1, requires_grad=True)
    point_loss(points, truth, SIZES, **PLAIN).backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_four_control_points_are_enough() -> None:
    truth = normalised(box_points(4, width=120, height=HEIGHT, centre=(100, 30)))
    assert float(point_loss(truth, truth, SIZES, **PLAIN)) < 1e-9
    assert float(point_loss(truth + 0.1, truth, SIZES, **PLAIN)) > 1e-3
