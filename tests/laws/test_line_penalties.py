"""What no line of text costs, and what a bent or folded one does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from stn_deploy.geometry import control_point_targets, normalised_from_pixels, quad_control_points
from stn_deploy.training.loss import bending_energy, foldover
from tests.pictures import arc_points, box_points
from tests.tolerances import FLOAT64

SIZE = (83, 250)
SIZES = torch.tensor([SIZE], dtype=torch.float64)
COUNT = 20

Points = NDArray[np.float64]
Penalty = Callable[[Tensor, Tensor], Tensor]


def cost(penalty: Penalty, points: Points) -> float:
    """Of one line whose control points are given in pixels."""
    return float(penalty(torch.from_numpy(normalised_from_pixels(points, SIZE))[None], SIZES))


def box(tilt: float = 0.0) -> Points:
    return box_points(COUNT, width=120, height=20, centre=(120, 40), tilt=tilt)


def arc(degrees: float, *, up: bool = True) -> Points:
    angle = np.radians(degrees)
    points = arc_points(COUNT, radius=150 / angle, angle=angle, height=30, centre=(120, 40))
    return points if up else (points * [1, -1])[[*range(10, 20), *range(10)]]


def turned(points: Points, degrees: float) -> Points:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]])


@pytest.mark.parametrize("seed", range(5))
def test_straight_even_lines_do_not_bend_under_any_affine_map(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mapped = box() @ rng.normal(size=(2, 2)) + rng.normal(0, 50, 2)
    assert cost(bending_energy, mapped) < FLOAT64


@pytest.mark.parametrize("degrees", [10, 60, 180])
def test_the_energy_of_an_arc_is_what_the_hand_finds(degrees: float) -> None:
    turn = np.radians(degrees) / (COUNT // 2 - 1)
    radius = 150 / np.radians(degrees)
    edges = np.array([radius + 15, radius - 15])  # the outer one takes longer steps
    by_hand = (2 * np.sin(turn / 2)) ** 2 * (edges**2).mean() / edges.mean() ** 2
    assert abs(cost(bending_energy, arc(degrees)) - by_hand) < FLOAT64
    assert abs(by_hand / turn**2 - 1) < 0.15 * (degrees / 60) ** 2


def test_the_energy_does_not_depend_on_direction_size_or_place() -> None:
    points = arc(80)
    expected = cost(bending_energy, points)
    for changed in (
        turned(points, 73),
        0.2 * points,
        points + np.array([31, -12]),
        points[::-1],
        points * [-1, 1],
    ):
        assert abs(cost(bending_energy, changed) - expected) < FLOAT64


def test_uneven_steps_cost_energy_too() -> None:
    points = box()
    points[[4, 14], 0] += 3
    assert cost(bending_energy, points) > 1e-3


DEEP = quad_control_points([[20, 10], [220, 35], [220, 48], [20, 70]], COUNT)
SANE = {
    "straight": box(),
    "upside down": box(np.pi),
    "steep": box(-1.4),
    "arch": arc(180),
    "sag": arc(180, up=False),
    "turned arch": turned(arc(150), 100),
    "perspective": DEEP,
    "sheared": box() @ np.array([[1, 0.2], [0.9, 1]]),
}


@pytest.mark.parametrize("name", SANE)
def test_sane_lines_are_not_folded(name: str) -> None:
    assert cost(foldover, SANE[name]) == 0


@pytest.mark.parametrize("name", SANE)
def test_a_mirrored_line_is_folded_over_as_a_whole(name: str) -> None:
    """Each cell is as far below nothing as it was above: by its own area, in the mean by 1."""
    swapped = SANE[name][[*range(10, 20), *range(10)]]  # the top edge below
    backwards = SANE[name].reshape(2, 10, 2)[:, ::-1].reshape(20, 2)
    for points in (swapped, backwards):
        assert abs(cost(foldover, points) - 1.1) < FLOAT64


def test_one_folded_cell_is_found_wherever_it_is() -> None:
    for place in range(1, 8):
        points = box()
        points[[place, place + 1, place + 10, place + 11]] = points[
            [place + 1, place, place + 11, place + 10]
        ]
        assert cost(foldover, points) > 0.1


def test_a_line_that_runs_back_over_itself_is_folded() -> None:
    points = box()
    points[:, 0] = 120 + 40 * np.sin(np.tile(np.linspace(-2.2, 2.2, 10), 2))
    assert cost(foldover, points) > 0.05


DEGENERATE = {
    "the whole image": control_point_targets(COUNT),
    "a point": np.full((COUNT, 2), 0.3),
    "without height": control_point_targets(COUNT) * [1, 0],
    "without length": control_point_targets(COUNT) * [0, 1],
}


@pytest.mark.parametrize("penalty", [bending_energy, foldover])
@pytest.mark.parametrize("name", DEGENERATE)
def test_costs_and_gradients_are_finite(penalty: Penalty, name: str) -> None:
    points = torch.from_numpy(DEGENERATE[name].copy()).float()[None].requires_grad_()
    value = penalty(points, SIZES.float())
    assert value.isfinite().all()
    value.sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


@pytest.mark.parametrize("penalty", [bending_energy, foldover])
def test_lines_of_a_batch_are_judged_alone(penalty: Penalty) -> None:
    lines = [arc(90), box()[::-1], box()]
    together = penalty(
        torch.from_numpy(np.stack([normalised_from_pixels(line, SIZE) for line in lines])), SIZES.repeat(3, 1)
    )
    assert together.shape == (3,)
    for value, line in zip(together.tolist(), lines, strict=True):
        assert abs(value - cost(penalty, line)) < FLOAT64
