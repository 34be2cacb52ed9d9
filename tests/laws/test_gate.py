"""The score is one half exactly where tilt, sag or taper reach their limits, at every size of the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from stn_deploy.artifact.spec import GATE
from stn_deploy.geometry import (
    measure_text_lines,
    normalised_from_pixels,
    pixels_from_normalised,
    quad_control_points,
)
from stn_deploy.training.gate import (
    HALF_HEIGHT,
    MIDLINE,
    SAG_LIMIT,
    TAPER_LIMIT,
    TILT_LIMIT,
    edge_points,
    gate_score,
    identity_coefficients,
)
from tests.pictures import arc_points, box_points
from tests.tolerances import POINT

SIZE = (83, 250)
TILT = TILT_LIMIT
SHORT, LONG = GATE["short"], GATE["long"]


def score_of(points: NDArray[np.float64], size: tuple[int, int] = SIZE) -> float:
    """Score of one line whose control points are given in pixels."""
    theta = torch.from_numpy(normalised_from_pixels(points, size)).float()[None]
    return float(gate_score(theta, torch.tensor([size], dtype=torch.float32)))


def arc_of_sag(sag: float, height: float = 20.0, angle: float = 0.9) -> NDArray[np.float64]:
    """A line of 22 points on a circle whose middle lies ``sag`` text heights above its chord."""
    radius = sag * height / (1 - np.cos(angle / 2))
    return arc_points(22, radius=radius, angle=angle, height=height, centre=(120, 40))


@pytest.mark.parametrize("tilt", [TILT, -TILT])
def test_it_is_one_half_at_the_limit_of_the_tilt(tilt: float) -> None:
    points = box_points(20, width=120, height=20, centre=(120, 40), tilt=tilt)
    assert abs(score_of(points) - 0.5) < 10 * POINT


@pytest.mark.parametrize("length", [0.3, 0.9, SHORT])
def test_shorter_text_needs_more_tilt(length: float) -> None:
    """Half the length, twice the tangent of half the angle."""
    tilt = 2 * np.arctan(np.tan(TILT / 2) * SHORT / length)
    points = box_points(20, width=length * 20, height=20, centre=(120, 40), tilt=tilt)
    assert abs(score_of(points) - 0.5) < 10 * POINT
    theta = torch.from_numpy(normalised_from_pixels(points, SIZE)).float()[None]
    in_full = float(gate_score(theta, torch.tensor([SIZE], dtype=torch.float32), short=0.0))
    ratio = SHORT / length
    assert abs(in_full - ratio / (1 + ratio)) < 10 * POINT


@pytest.mark.parametrize("mirrored", [False, True], ids=["up", "down"])
def test_it_is_one_half_at_the_limit_of_the_sag(mirrored: bool) -> None:
    points = arc_of_sag(SAG_LIMIT) * ([1, -1] if mirrored else [1, 1])
    assert abs(score_of(points) - 0.5) < 10 * POINT


@pytest.mark.parametrize("mirrored", [False, True], ids=["left end", "right end"])
def test_it_is_one_half_where_one_end_is_higher_by_the_limit_of_the_taper(mirrored: bool) -> None:
    left, right = 10 * (1 + TAPER_LIMIT), 10.0
    quad = [[50, 40 - left], [140, 40 - right], [140, 40 + right], [50, 40 + left]]
    points = quad_control_points(quad, 20)
    if mirrored:
        points = (points * [-1, 1] + [190, 0]).reshape(2, 10, 2)[:, ::-1].reshape(20, 2)
    assert abs(score_of(points) - 0.5) < 10 * POINT


def test_of_long_text_the_opening_of_an_arc_decides() -> None:
    """Twice the length and twice the sag, the same angle: the same score; up to the limit the sag alone."""
    angle = 8 * SAG_LIMIT / LONG  # of the arc that is just so long where its sag is at the limit, nearly
    scores = [score_of(arc_of_sag(factor * SAG_LIMIT, 4.0, angle)) for factor in (0.5, 1.05, 2.0, 4.0)]
    assert abs(scores[0] - 1 / 3) < 1e-3
    assert max(scores[1:]) - min(scores[1:]) < 1e-4
    assert abs(scores[1] - 0.5) < 0.01


def test_the_largest_measure_decides() -> None:
    def turned(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return points @ np.array([[cos, sin], [-sin, cos]])

    arc = arc_of_sag(2 * SAG_LIMIT)
    assert abs(score_of(arc) - 2 / 3) < 10 * POINT
    assert abs(score_of(turned(arc, np.degrees(TILT) / 2)) - 2 / 3) < 10 * POINT
    ratio = np.tan(np.radians(25)) / np.tan(TILT_LIMIT / 2)
    assert abs(score_of(turned(arc, 50)) - ratio / (1 + ratio)) < 10 * POINT


def test_it_is_zero_for_a_straight_box_and_for_the_whole_image() -> None:
    assert score_of(box_points(20, width=120, height=20, centre=(120, 40))) < 10 * POINT
    whole = edge_points(identity_coefficients()[None], 20)
    assert float(gate_score(whole, torch.tensor([SIZE], dtype=torch.float32))) == 0


def random_lines(count: int = 200) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    coefficients = identity_coefficients() + 0.2 * torch.randn(
        count, MIDLINE + HALF_HEIGHT, 2, generator=generator
    )
    coefficients[:, MIDLINE:, 0] *= 0.3
    sizes = torch.rand(count, 2, generator=generator) * torch.tensor([90.0, 300.0]) + 12
    return edge_points(coefficients, 20), sizes


def test_it_agrees_with_the_measures_of_geometry() -> None:
    points, sizes = random_lines()
    pixels = pixels_from_normalised(points.double().numpy(), sizes.double().numpy()[:, None])
    measures = measure_text_lines(pixels)
    first, last = np.linalg.norm(pixels[:, [0, 9]] - pixels[:, [10, 19]], axis=2).T
    taper = np.maximum(first / last, last / first) - 1
    tilt = np.abs(measures.tilt)
    forward = tilt < np.pi / 2
    assert forward.mean() > 0.5  # beyond a right angle only the order matters, and everything is near 1
    with np.errstate(invalid="ignore"):
        length = measures.length / measures.height
        ratios = [
            np.tan(tilt / 2) / np.tan(TILT_LIMIT / 2) * np.minimum(length / SHORT, 1),
            measures.sag / SAG_LIMIT / np.maximum(length / LONG, 1),
            taper / TAPER_LIMIT,
        ]
        ratio = np.max(ratios, axis=0)
        expected = np.where(np.isfinite(ratio), ratio / (1 + ratio), 1.0)
    assert {int(which) for which in np.argmax(ratios, axis=0)} == {0, 1, 2}
    assert np.abs(gate_score(points, sizes).numpy() - expected)[forward].max() < 1e-4
    assert gate_score(points, sizes).numpy()[~forward].min(initial=1) > 0.95


def test_it_does_not_depend_on_the_scale_of_the_image() -> None:
    points, sizes = random_lines()
    assert (gate_score(points, sizes) - gate_score(points, 7 * sizes)).abs().max() < 1e-5


def test_it_depends_on_the_shape_of_the_image() -> None:
    """The same normalised line is steeper in a tall image than in a wide one."""
    points = random_lines(1)[0]
    wide, tall = (gate_score(points, torch.tensor([size])) for size in ((20.0, 200.0), (200.0, 20.0)))
    assert float(tall) > float(wide) + 0.1


def test_it_stays_between_0_and_1_for_any_line() -> None:
    lines = {
        "vertical": box_points(20, width=60, height=9, centre=(120, 40), tilt=np.pi / 2),
        "upside down": box_points(20, width=60, height=9, centre=(120, 40), tilt=np.radians(178)),
        "a point": np.full((20, 2), 30.0),
        "without height": box_points(20, width=60, height=0, centre=(120, 40)),
    }
    scores = {name: score_of(points) for name, points in lines.items()}
    assert all(0 <= score <= 1 for score in scores.values()), scores
    assert scores["vertical"] > 0.95
    assert scores["upside down"] > 0.99


def test_upside_down_text_needs_straightening() -> None:
    assert score_of(box_points(20, width=60, height=9, centre=(120, 40))[::-1]) > 0.99


def test_other_limits_move_the_middle() -> None:
    points = torch.from_numpy(normalised_from_pixels(arc_of_sag(0.5), SIZE)).float()[None]
    score = gate_score(points, torch.tensor([SIZE], dtype=torch.float32), sag_limit=0.5)
    assert abs(float(score) - 0.5) < 10 * POINT
