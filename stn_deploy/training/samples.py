"""A sheet of samples: words with their true and found control points, beside what sampling makes of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stn_deploy.data import thumbnail_batch
from stn_deploy.geometry import TextSpline, normalised_from_pixels
from stn_deploy.pictures import Picture, draw_control_points, fit, tabulate
from stn_deploy.stn import sample
from stn_deploy.training.rectifier import TextRectifier
from stn_deploy.training.scene import Scene

_COLUMNS = 4
_CELL, _RESULT = (112, 200), (48, 150)
_TRUTH, _FOUND = (90, 170, 60), (40, 40, 230)
_GAP = 6


@torch.inference_mode()
def draw_samples(rectifier: TextRectifier, scenes: list[Scene], device: torch.device) -> Picture:
    """Four words in a row: the crop with its control points (green: true, red: found) beside the result."""
    spec = rectifier.spec
    sizes = np.array([scene.image.shape[:2] for scene in scenes], np.float32)
    thumbnails = torch.from_numpy(thumbnail_batch([scene.image for scene in scenes], spec.thumbnail_size))
    found = rectifier(thumbnails.float().to(device), torch.from_numpy(sizes).to(device))
    points, theta = found.points.float().cpu().numpy(), found.theta.float().cpu().numpy()
    basis = TextSpline.of(spec).pixel_basis(spec.control_points, _RESULT)
    cells, notes = [], []
    for scene, own, control in zip(scenes, points, theta, strict=True):
        cells.append(_cell(scene, own, (basis @ control).reshape(*_RESULT, 2)))
        notes.append(scene.word)
    while len(cells) % _COLUMNS:
        cells.append(np.full_like(cells[0], 255))
        notes.append("")
    rows = [slice(start, start + _COLUMNS) for start in range(0, len(cells), _COLUMNS)]
    headings = ["green: true, red: found", *[""] * (_COLUMNS - 1)]
    return tabulate([cells[row] for row in rows], headings, notes=[notes[row] for row in rows])


def _cell(scene: Scene, found: NDArray[np.float32], grid: NDArray[np.float64]) -> Picture:
    image = np.ascontiguousarray(scene.image)
    crop = fit(image, _CELL)
    crop = draw_control_points(crop, normalised_from_pixels(scene.points, image.shape[:2]), colour=_TRUTH)
    crop = draw_control_points(crop, found, colour=_FOUND)
    source = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    sampled = sample(source, torch.from_numpy(grid)[None].float(), antialias=True)[0]
    result = sampled.permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
    cell = np.full((_CELL[0], _CELL[1] + _GAP + _RESULT[1], 3), 255, np.uint8)
    cell[: crop.shape[0], : crop.shape[1]] = crop
    cell[: _RESULT[0], -_RESULT[1] :] = result
    return cell
