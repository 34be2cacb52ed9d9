"""Warps: every distortion of the training can be undone, and its parts do what they say."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.errors import ArgumentError
from stn_deploy.training.bends import Arc
from stn_deploy.training.warp import Warp, perspective, random_warp, rotation, squeeze
from tests.tolerances import FLOAT64


def flat_points(length: float) -> np.ndarray:
    xs, ys = np.meshgrid(np.linspace(-length / 2, length / 2, 17), np.linspace(-0.5, 0.5, 5))
    return np.stack([xs, ys], axis=-1)


def project(matrix: np.ndarray, *points: tuple[float, float]) -> np.ndarray:
    return Warp(length=1.0, scene_from_bent=matrix).scene_from_flat(np.array(points, float))


@pytest.mark.parametrize("length", [0.4, 1.0, 3.3, 14.0])
def test_every_random_warp_is_undone_by_its_inverse(length: float) -> None:
    flat = flat_points(length)
    kinds = set()
    for seed in range(500):
        warp = random_warp(np.random.default_rng(seed), length)
        kinds.add(type(warp.bend).__name__)
        scene = warp.scene_from_flat(flat)
        assert np.isfinite(scene).all(), warp
        assert np.abs(warp.flat_from_scene(scene) - flat).max() < 1e-7, warp
    assert kinds == {"Straight", "Arc", "Wave", "Flag", "Snake", "Envelope", "Cylinder"}


def test_no_random_warp_mirrors_or_turns_text_over() -> None:
    for seed in range(300):
        points = random_warp(np.random.default_rng(seed), 4.0).control_points(20)
        top, bottom = np.split(points, 2)
        right, down = (top[5] - top[4]) + (bottom[5] - bottom[4]), (bottom - top)[4]
        assert right[0] * down[1] - right[1] * down[0] > 0
        assert (top + bottom)[0, 0] < (top + bottom)[-1, 0]


def test_random_warps_repeat_with_their_seed() -> None:
    first, again, other = (
        random_warp(np.random.default_rng(seed), 3.0).control_points(20) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_control_points_are_the_edges_of_the_flat_text() -> None:
    warp = Warp(length=6.0, bend=Arc(angle=1.2, length=6.0), scene_from_bent=rotation(0.3) @ squeeze(1.4))
    points = warp.control_points(8)
    flat = warp.flat_from_scene(points)
    expected = [[x, y] for y in (-0.5, 0.5) for x in (-3, -1, 1, 3)]
    assert np.abs(flat - expected).max() < FLOAT64


def test_rotation_is_clockwise_on_the_screen() -> None:
    right_down = project(rotation(np.pi / 2), (1, 0), (0, 2))
    assert np.abs(right_down - [[0, 1], [-2, 0]]).max() < FLOAT64


def test_perspective_shrinks_what_is_deep() -> None:
    matrix = perspective(0.25, 0.0, np.array([4.0, 0.5]))
    left, right = project(matrix, (-4, 1), (4, 1))
    assert abs(right[1] - 1 / 1.25) < FLOAT64
    assert abs(left[1] - 1 / 0.75) < FLOAT64
    _, low = project(perspective(0.0, 0.2, np.array([4.0, 0.5])), (1, -0.5), (1, 0.5))
    assert abs(low[0] - 1 / 1.2) < FLOAT64


def test_squeeze_changes_widths_and_slants_by_height() -> None:
    assert np.abs(project(squeeze(0.5, 0.1), (2, 0), (0, 1)) - [[1, 0], [0.1, 1]]).max() < FLOAT64


def test_behind_the_camera_there_is_nothing() -> None:
    matrix = perspective(0.5, 0.0, np.array([1.0, 1.0]))
    assert np.isnan(project(matrix, (-2.5, 0))).all()
    warp = Warp(length=2.0, scene_from_bent=np.asarray(np.linalg.inv(matrix), np.float64))
    assert np.isnan(warp.flat_from_scene(np.array([[-2.5, 0.0]]))).all()


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan")])
def test_a_text_without_length_is_refused(length: float) -> None:
    with pytest.raises(ArgumentError, match="length: expected text heights above 0"):
        Warp(length=length)
