"""The truth of rendering: the control points that a picture comes with are where its text is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stn_deploy.geometry import TextSpline, normalised_from_pixels
from stn_deploy.runtime.sampling import sample_original
from stn_deploy.training.backgrounds import PLAIN
from stn_deploy.training.bends import Arc, Cylinder, Envelope, Flag, Snake, Wave
from stn_deploy.training.flat import FlatText, flat_from_quad, with_neighbours
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.scene import LARGEST, Scene, compose, place
from stn_deploy.training.warp import Warp, perspective, rotation, squeeze
from stn_deploy.training.words import draw_word
from tests.tolerances import CORRELATION, HALF_PIXEL_RULED_OUT

INK = draw_word("Light", FALLBACK, 80)  # no letter, and not the word, looks the same when mirrored or turned
FLAT = FlatText(ink=INK, box=(0, 0, INK.shape[1], INK.shape[0]), word="Light")
LENGTH = FLAT.length
MARGINS = np.array([0.4, 0.25, 0.1, 0.55])

WARPS = {
    "straight": Warp(length=LENGTH),
    "turned": Warp(length=LENGTH, scene_from_bent=rotation(np.radians(25))),
    "in perspective": Warp(
        length=LENGTH,
        scene_from_bent=rotation(-0.2)
        @ perspective(0.25, 0.0, np.array([LENGTH / 2, 0.5]))
        @ squeeze(0.8, 0.1),
    ),
    "arc up": Warp(length=LENGTH, bend=Arc(angle=np.radians(60), length=LENGTH)),
    "arc down, turned": Warp(
        length=LENGTH, bend=Arc(angle=np.radians(-50), length=LENGTH), scene_from_bent=rotation(0.25)
    ),
    "wave": Warp(length=LENGTH, bend=Wave(amplitude=0.15, wavelength=LENGTH * 1.4, phase=1.0)),
    "flag": Warp(length=LENGTH, bend=Flag(length=LENGTH, amplitude=0.3, wavelength=LENGTH * 1.3, phase=1.0)),
    "snake": Warp(length=LENGTH, bend=Snake(angle=np.radians(60), length=LENGTH)),
    "envelope": Warp(length=LENGTH, bend=Envelope(length=LENGTH, rise=0.3, slope=0.2, bulge=0.2)),
    "cylinder": Warp(length=LENGTH, bend=Cylinder(angle=np.radians(90), length=LENGTH, lean=0.3)),
}
each_warp = pytest.mark.parametrize("warp", WARPS.values(), ids=WARPS)


def plain_scene(warp: Warp, *, text_height: float = 60.0, flat: FlatText = FLAT) -> Scene:
    """Black on white, larger than most so that sampling blurs little; 40 control points."""
    return compose(flat, warp, place(warp, text_height=text_height, margins=MARGINS), PLAIN, count=40)


def straightened(scene: Scene, size: tuple[int, int]) -> np.ndarray:
    """The scene sampled by its own truth, as coverage (255 where there is ink)."""
    theta = normalised_from_pixels(scene.points, scene.image.shape[:2]).astype(np.float32)
    sampled = sample_original(scene.image, theta, size, spline=TextSpline(kernel_aspect=0.15), exact=True)
    return 255 - sampled[..., 0].astype(np.float32)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@each_warp
def test_the_ink_lies_inside_the_polygon_of_the_control_points(warp: Warp) -> None:
    scene = plain_scene(warp)
    ink = scene.image[..., 0] < 128
    outline = np.concatenate([scene.points[:20], scene.points[:19:-1]])
    inside = np.zeros(ink.shape, np.uint8)
    cv2.fillPoly(inside, [np.round((outline - 0.5) * 16).astype(np.int32)], 1, shift=4)
    grown = cv2.dilate(inside, np.ones((5, 5), np.uint8))  # strokes touch the edges
    assert ink.sum() > 300
    assert not (ink & (grown == 0)).any()


@each_warp
def test_straightening_by_the_true_control_points_gives_the_flat_word(warp: Warp) -> None:
    size = (60, round(60 * LENGTH))
    flat = cv2.resize(INK, size[::-1], interpolation=cv2.INTER_AREA)
    back = straightened(plain_scene(warp), size)
    assert correlation(back, flat) > CORRELATION
    assert correlation(back[::-1], flat) < CORRELATION - 0.2
    assert correlation(back[:, ::-1], flat) < CORRELATION - 0.2


@pytest.mark.parametrize("text_height", [12.0, 30.0, 160.0])
def test_the_truth_holds_at_every_resolution(text_height: float) -> None:
    scene = plain_scene(WARPS["arc up"], text_height=text_height)
    size = (12, round(12 * LENGTH))
    flat = cv2.resize(INK, size[::-1], interpolation=cv2.INTER_AREA)
    assert correlation(straightened(scene, size), flat) > CORRELATION


def test_neighbours_do_not_move_the_truth() -> None:
    around = [draw_word(word, FALLBACK, 80) for word in ("abc", "XY", "1234", "q")]
    flat = with_neighbours(np.random.default_rng(3), INK, "Light", around)
    assert flat.ink.sum() > INK.sum()
    assert abs(flat.length - LENGTH) < 1e-9
    size = (60, round(60 * LENGTH))
    expected = cv2.resize(INK, size[::-1], interpolation=cv2.INTER_AREA)
    back = straightened(plain_scene(WARPS["turned"], flat=flat), size)
    assert correlation(back, expected) > CORRELATION


def test_a_crop_has_its_margins_and_its_text_height() -> None:
    placement = place(Warp(length=3.0), text_height=40.0, margins=np.array([0.5, 0.25, 0.1, 1.0]))
    assert placement.size == (90, 144)
    assert placement.scale == 40
    assert placement.origin.tolist() == [-2.0, -0.75]


def test_long_text_is_drawn_smaller_not_cut() -> None:
    placement = place(Warp(length=50.0), text_height=80.0, margins=np.zeros(4))
    assert LARGEST * 0.98 < placement.size[0] * placement.size[1] < LARGEST * 1.1
    assert abs(placement.size[1] / placement.size[0] - 50) < 2


def test_real_pixels_become_flat_text_without_a_shift() -> None:
    """A dot painted into a photographed quadrilateral is found where the quadrilateral says."""
    quad = np.array([[90, 60], [450, 132], [420, 276], [66, 210]], np.float32)
    image = np.full((360, 540, 3), 255, np.uint8)
    place_on_text = np.array([[0.25, 0.4]])  # parts of the width and of the height
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    spot = cv2.perspectiveTransform(place_on_text[None], cv2.getPerspectiveTransform(unit, quad))[0, 0]
    cv2.circle(
        image, tuple(int(v) for v in np.round((spot - 0.5) * 256)), 12 * 256, (0, 0, 0), -1, cv2.LINE_AA, 8
    )
    flat = flat_from_quad(image, quad, "dot")
    assert flat.texture is not None
    left, top, right, bottom = flat.box
    dark = 255.0 - flat.texture[..., 0]
    ys, xs = np.mgrid[: dark.shape[0], : dark.shape[1]] + 0.5
    found = np.array([(dark * xs).sum(), (dark * ys).sum()]) / dark.sum()
    expected = np.array([left + 0.25 * (right - left), top + 0.4 * (bottom - top)])
    assert np.abs(found - expected).max() < HALF_PIXEL_RULED_OUT
