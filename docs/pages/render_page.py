"""Draws the page in this folder: ``python docs/pages/render_page.py``.

A café's board with lines that are straight, tilted, in perspective, on arcs, on a wave and around a cylinder,
by the renderer that also draws the training words; the texts are not those of the training. ``cafe.json``
says where each line is: its control points, ten along the top edge from left to right, then ten along the
bottom edge, pixels of the page from its top left edge.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from stn_deploy.geometry.convention import FloatArray
from stn_deploy.training.backgrounds import Style
from stn_deploy.training.bends import Arc, Bend, Cylinder, Straight, Wave
from stn_deploy.training.flat import FlatText
from stn_deploy.training.fonts import FALLBACK, find_fonts
from stn_deploy.training.scene import Scene, compose, place
from stn_deploy.training.warp import Warp, perspective, rotation
from stn_deploy.training.words import draw_word

FOLDER = Path(__file__).resolve().parent
SIZE = (960, 780)
MARGIN = 0.1
INK_ON_PAPER = Style(ink=np.zeros(3), paper=np.full(3, 255.0), grain=np.zeros((2, 2, 3)))
Colour = tuple[int, int, int]
WHITE, GOLD, MINT, ROSE = (236, 240, 242), (96, 200, 240), (190, 226, 170), (176, 170, 240)
SERIF, BOLD, SANS, MONO = "DejaVuSerif-Bold", "DejaVuSans-Bold", "LiberationSans-Bold", "LiberationMono-Bold"
# text, font, colour (BGR), bend, turn (degrees), depth of the perspective; height, left and top, pixels
LINES: list[tuple[str, str, Colour, str, float, float, int, int, int]] = [
    ("Brasserie", SERIF, GOLD, "arch", 0, 0, 60, 200, 30),
    ("Open daily from 11 to 22", SANS, WHITE, "straight", 0, 0, 27, 215, 215),
    ("Fresh fish every day", BOLD, MINT, "wave", 0, 0, 36, 150, 272),
    ("Soup of the day", MONO, WHITE, "straight", 0.8, 0, 25, 70, 382),
    ("4.50", MONO, WHITE, "straight", 0.8, 0, 22, 590, 388),
    ("Grilled mackerel", MONO, WHITE, "straight", 0.8, 0, 27, 70, 432),
    ("9.80", MONO, WHITE, "straight", 0.8, 0, 22, 590, 438),
    ("Lunch", BOLD, ROSE, "straight", -14, 0, 48, 120, 520),
    ("Terrace", BOLD, GOLD, "straight", 8, 0.4, 42, 440, 515),
    ("Homemade", SANS, MINT, "bottle", 0, 0, 46, 455, 660),
    ("Desserts", SERIF, WHITE, "smile", 0, 0, 50, 90, 790),
]


def line(text: str, font: str, bend: str, turn: float, depth: float, height: int) -> Scene:
    """A line of text, black on white, bent by name, seen in perspective, then turned."""
    files = [file for file in find_fonts() if Path(file).stem == font]
    ink = draw_word(text, files[0] if files else FALLBACK, 80)
    flat = FlatText(ink=ink, box=(0, 0, ink.shape[1], ink.shape[0]), word=text)
    length = flat.length
    bends: dict[str, Bend] = {
        "straight": Straight(),
        "arch": Arc(angle=np.radians(85), length=length),
        "smile": Arc(angle=-np.radians(90), length=length),
        "wave": Wave(amplitude=0.45, wavelength=length * 0.8, phase=0.3),
        "bottle": Cylinder(angle=np.radians(125), length=length, lean=0.5),
    }
    border: FloatArray = np.array([length / 2, 0.5])
    matrix = rotation(np.radians(turn)) @ perspective(depth, 0.0, border)
    warp = Warp(length=length, bend=bends[bend], scene_from_bent=matrix)
    placement = place(warp, text_height=height, margins=np.full(4, MARGIN))
    return compose(flat, warp, placement, INK_ON_PAPER, count=20)


def board() -> tuple[np.ndarray, list[dict[str, object]]]:
    """The page (H, W, 3), and the text and control points of each of its lines."""
    rng = np.random.default_rng(5)
    slate = np.array([58.0, 50, 44]) + cv2.resize(rng.normal(0, 7, (40, 33)), SIZE[::-1])[..., None]
    truth: list[dict[str, object]] = []
    for text, font, colour, bend, turn, depth, height, left, top in LINES:
        drawn = line(text, font, bend, turn, depth, height)
        coverage = 1 - drawn.image[..., :1] / 255.0
        rows, columns = drawn.image.shape[:2]
        part = slate[top : top + rows, left : left + columns]
        part += coverage * (np.array(colour) - part)
        points = np.round(drawn.points + np.array([left, top]), 1)
        truth.append({"text": text, "points": points.tolist()})
    light = cv2.resize(
        rng.uniform(0.8, 1.08, (3, 2)).astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_CUBIC
    )
    noise = rng.normal(0, 3.5, (*SIZE, 1))
    page = cv2.GaussianBlur(slate, (0, 0), 0.7) * light[..., None] + noise
    return np.clip(page, 0, 255).astype(np.uint8), truth


def main() -> None:
    """Write the page and where its lines are."""
    page, truth = board()
    cv2.imwrite(str(FOLDER / "cafe.jpg"), page, [cv2.IMWRITE_JPEG_QUALITY, 82])
    lines = ",\n".join(json.dumps(each) for each in truth)
    (FOLDER / "cafe.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
