"""Every bend has an exact inverse and the shape that it promises."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.training.bends import Arc, Bend, Cylinder, Envelope, Flag, Snake, Straight, Wave
from tests.tolerances import FLOAT64

LENGTH = 5.0
BENDS: dict[str, Bend] = {
    "straight": Straight(),
    "slight arc": Arc(angle=np.radians(8), length=LENGTH),
    "arc up": Arc(angle=np.radians(100), length=LENGTH),
    "arc down": Arc(angle=np.radians(-200), length=LENGTH),
    "wave": Wave(amplitude=0.4, wavelength=3.5, phase=0.7),
    "flag": Flag(length=LENGTH, amplitude=0.6, wavelength=4.2, phase=0.4),
    "flag, pole on the right": Flag(length=LENGTH, amplitude=0.5, wavelength=6.5, phase=2.0, pole=1.0),
    "snake": Snake(angle=np.radians(130), length=LENGTH),
    "snake, mirrored": Snake(angle=np.radians(-60), length=LENGTH),
    "envelope": Envelope(length=LENGTH, rise=0.6, slope=-0.3, bulge=0.4),
    "narrow envelope": Envelope(length=LENGTH, rise=-0.6, slope=0.3, bulge=-0.4),
    "cylinder": Cylinder(angle=np.radians(150), length=LENGTH, lean=-0.4),
}


def flat_points() -> np.ndarray:
    xs, ys = np.meshgrid(np.linspace(-LENGTH / 2, LENGTH / 2, 23), np.linspace(-0.5, 0.5, 7))
    return np.stack([xs, ys], axis=-1)


@pytest.mark.parametrize("bend", BENDS.values(), ids=BENDS)
def test_unbending_undoes_bending(bend: Bend) -> None:
    flat = flat_points()
    bent = bend.bend(flat)
    assert bent.shape == flat.shape
    assert isinstance(bend, Straight) or np.abs(bent - flat).max() > 0.04
    assert np.abs(bend.unbend(bent) - flat).max() < FLOAT64


@pytest.mark.parametrize("bend", BENDS.values(), ids=BENDS)
def test_bending_keeps_the_middle_upright_and_unmirrored(bend: Bend) -> None:
    """In the middle of the text, right stays right and down stays down."""
    centre, right, down = bend.bend(np.array([[0.0, 0.0], [1e-4, 0.0], [0.0, 1e-4]]))
    assert right[0] > centre[0]
    assert down[1] > centre[1]


@pytest.mark.parametrize("angle", [np.radians(40), np.radians(180), np.radians(-120)])
def test_an_arc_bends_the_midline_onto_a_circle_of_its_length(angle: float) -> None:
    bend = Arc(angle=angle, length=LENGTH)
    radius = LENGTH / abs(angle)
    centre = np.array([0.0, radius if angle > 0 else -radius])  # below the text where it bulges upwards
    flat = np.stack([np.linspace(-LENGTH / 2, LENGTH / 2, 1001), np.zeros(1001)], axis=1)
    middle = bend.bend(flat)
    assert np.abs(np.linalg.norm(middle - centre, axis=1) - radius).max() < FLOAT64
    assert abs(np.linalg.norm(np.diff(middle, axis=0), axis=1).sum() - LENGTH) < 1e-4
    ends = middle[[0, -1]] - centre
    assert abs(np.cos(angle) - ends[0] @ ends[1] / radius**2) < FLOAT64
    assert middle[0, 0] < 0 < middle[-1, 0]
    # y is down: bulging upwards, the ends hang below the middle.
    assert np.sign(middle[0, 1] - middle[500, 1]) == np.sign(angle)


@pytest.mark.parametrize("name", ["arc up", "arc down", "wave", "flag", "snake", "cylinder"])
def test_letters_keep_their_height(name: str) -> None:
    top, bottom = (
        BENDS[name].bend(np.stack([np.linspace(-2, 2, 9), np.full(9, y)], axis=1)) for y in (-0.5, 0.5)
    )
    assert np.abs(np.linalg.norm(bottom - top, axis=1) - 1).max() < FLOAT64


@pytest.mark.parametrize("pole", [-1.0, 1.0])
def test_a_flag_is_still_at_its_pole_and_waves_most_at_its_free_end(pole: float) -> None:
    bend = Flag(length=LENGTH, amplitude=0.6, wavelength=0.5, phase=0.4, pole=pole)
    xs = np.linspace(-LENGTH / 2, LENGTH / 2, 401)
    shift = np.abs(bend.bend(np.stack([xs, np.full(401, 0.3)], axis=1))[:, 1] - 0.3)
    if pole > 0:
        shift = shift[::-1]
    assert shift[0] < FLOAT64
    largest = [part.max() for part in np.array_split(shift, 5)]
    assert (np.diff(largest) > 0).all()
    assert 0.54 < largest[-1] <= 0.6


def test_a_snake_turns_one_way_then_the_other_without_a_kink() -> None:
    bend = Snake(angle=np.radians(100), length=LENGTH)
    middle = bend.bend(np.stack([np.linspace(-LENGTH / 2, LENGTH / 2, 1001), np.zeros(1001)], axis=1))
    steps = np.diff(middle, axis=0)
    assert abs(np.linalg.norm(steps, axis=1).sum() - LENGTH) < 1e-4
    turns = np.diff(np.arctan2(steps[:, 1], steps[:, 0]))
    assert np.abs(turns).max() < np.radians(100) / 1000 + 1e-9  # no more than on the arcs: no kink
    assert np.abs(turns[:499] + np.radians(100) / 1000).max() < 1e-6
    assert np.abs(turns[500:] - np.radians(100) / 1000).max() < 1e-6
    assert np.abs(middle[0] + middle[-1]).max() < FLOAT64


def test_an_envelope_has_its_rise_and_its_heights() -> None:
    bend = Envelope(length=LENGTH, rise=0.6, slope=-0.3, bulge=0.4)
    xs = np.array([-LENGTH / 2, 0.0, LENGTH / 2, LENGTH / 4])
    top, middle, bottom = (bend.bend(np.stack([xs, np.full(4, y)], axis=1)) for y in (-0.5, 0.0, 0.5))
    assert np.abs((bottom - top)[:, 1] - [1 + 0.3 + 0.4, 1, 1 - 0.3 + 0.4, 1 - 0.15 + 0.1]).max() < FLOAT64
    # A parabola: half way to the end it has risen by a quarter.
    assert np.abs(middle[:, 1] - middle[1, 1] - [0.6, 0, 0.6, 0.15]).max() < FLOAT64


def test_a_cylinder_foreshortens_towards_its_ends() -> None:
    bend = Cylinder(angle=np.radians(150), length=LENGTH, lean=0.5)
    xs = bend.bend(np.stack([np.linspace(-LENGTH / 2, LENGTH / 2, 11), np.zeros(11)], axis=1))[:, 0]
    steps = np.diff(xs)
    assert (np.diff(steps[:5]) > 0).all()
    assert np.abs(steps - steps[::-1]).max() < FLOAT64
    radius = LENGTH / bend.angle
    assert abs(xs[-1] - radius * np.sin(bend.angle / 2)) < FLOAT64


def test_beyond_a_cylinder_there_is_nothing() -> None:
    bend = Cylinder(angle=np.radians(90), length=LENGTH, lean=0.2)
    radius = LENGTH / bend.angle
    beyond = bend.unbend(np.array([[radius * 1.01, 0.0], [-radius * 1.5, 0.2], [radius * 0.99, 0.0]]))
    assert np.isnan(beyond[:2, 0]).all()
    assert np.isfinite(beyond[2]).all()
