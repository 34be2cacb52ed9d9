"""Draws the sample photographs in this folder: ``python samples/render_samples.py``.

Scenes with arcs, tilt, perspective, a bottle, a flag, and straight words, by the renderer that also draws the
training words; the words and the seeds are not those of the training.
"""

from __future__ import annotations

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
MARGIN, TEXT_HEIGHT = 0.45, 52


def sign(
    ink: tuple[int, int, int], paper: tuple[int, int, int], seed: int, *, outline: bool = False
) -> Style:
    """Paint on a board: two colours (BGR), a little texture, a soft shadow."""
    rng = np.random.default_rng(seed)
    return Style(
        ink=np.array(ink, float),
        paper=np.array(paper, float),
        grain=rng.normal(0, 7, (7, 11, 1)).repeat(3, axis=2),
        outline=np.array(paper, float) * 0.35 if outline else None,
        shadow=np.array(paper, float) * 0.55,
        shift=np.array([0.012, 0.016]),
        seed=seed,
    )


def scene(word: str, font: str, style: Style, bend: str, *, turn: float = 0.0, depth: float = 0.0) -> Scene:
    """A word, bent by name, seen in perspective (``depth``), then turned (degrees)."""
    files = [file for file in find_fonts() if Path(file).stem == font]
    ink = draw_word(word, files[0] if files else FALLBACK, 80)
    flat = FlatText(ink=ink, box=(0, 0, ink.shape[1], ink.shape[0]), word=word)
    length = flat.length
    bends: dict[str, Bend] = {
        "straight": Straight(),
        "arch": Arc(angle=np.radians(110), length=length),
        "smile": Arc(angle=-np.radians(90), length=length),
        "flag": Wave(amplitude=0.35, wavelength=length * 1.1, phase=0.4),
        "bottle": Cylinder(angle=np.radians(120), length=length, lean=0.45),
    }
    border: FloatArray = np.array([length / 2, 0.5])
    matrix = rotation(np.radians(turn)) @ perspective(depth, 0.0, border)
    warp = Warp(length=length, bend=bends[bend], scene_from_bent=matrix)
    placement = place(warp, text_height=TEXT_HEIGHT, margins=np.full(4, MARGIN))
    return compose(flat, warp, placement, style, count=20)


def photograph(picture: Scene, seed: int) -> np.ndarray:
    """Uneven light, a soft lens and sensor noise."""
    rng = np.random.default_rng(seed)
    height, width = picture.image.shape[:2]
    corners = rng.uniform(0.72, 1.1, (2, 2)).astype(np.float32)
    light = cv2.resize(corners, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    noise = rng.normal(0, 4, (height, width, 1))
    return np.clip(cv2.GaussianBlur(picture.image, (0, 0), 0.8) * light + noise, 0, 255).astype(np.uint8)


def main() -> None:
    """Write all samples and their labels."""
    cream, navy, red, gold = (205, 228, 240), (92, 48, 24), (44, 40, 190), (80, 190, 235)
    green, white, slate, black = (70, 96, 36), (238, 240, 242), (96, 84, 72), (38, 36, 34)
    bold, serif, sans, mono = (
        "DejaVuSans-Bold",
        "DejaVuSerif-Bold",
        "LiberationSans-Bold",
        "LiberationMono-Bold",
    )
    samples = {
        "arch.jpg": scene("Bakery", serif, sign(navy, cream, 1), "arch"),
        "smile.jpg": scene("Trattoria", bold, sign(gold, green, 2, outline=True), "smile"),
        "tilted.jpg": scene("Platform 9", sans, sign(white, slate, 3), "straight", turn=-24),
        "perspective.jpg": scene("Bicycles", bold, sign(red, white, 4), "straight", turn=6, depth=0.42),
        "bottle.jpg": scene("Lemonade", sans, sign(black, gold, 5), "bottle"),
        "flag.jpg": scene("Harbour", bold, sign(white, navy, 6), "flag"),
        "arch_turned.jpg": scene("Florist", serif, sign(cream, red, 7), "arch", turn=17),
        "straight_1.jpg": scene("Entrance", sans, sign(black, white, 8), "straight"),
        "straight_2.jpg": scene("Room 214", mono, sign(white, green, 9), "straight", turn=1.0),
    }
    lines = ["file\ttext"]
    for seed, (name, picture) in enumerate(samples.items()):
        cv2.imwrite(str(FOLDER / name), photograph(picture, seed), [cv2.IMWRITE_JPEG_QUALITY, 92])
        lines.append(f"{name}\t{picture.word}")
    (FOLDER / "labels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
