"""What must hold without any label: a known change of the crop changes the prediction by just that.

Both laws work on thumbnails, so they cost a second look of the localisation network and no picture.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.training.gate import extension_of, height_and_length

LARGEST_TURN = math.radians(12)
LARGEST_SHIFT = 0.1
LARGEST_SCALE = 0.15


def random_views(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Small random changes of crops: turned, shifted, cut larger or smaller.

    Drawn from torch's own generator, which the training seeds at each step.

    Args:
        sizes: (n, 2), height and width of the crops, pixels.
    Returns:
        source_from_target (n, 2, 3), the affine theta of each change in normalised coordinates, and the sizes
        (n, 2) of the changed crops in pixels of the first.
    """
    draws = torch.rand(5, len(sizes), device=sizes.device) * 2 - 1
    turn, scale = draws[0] * LARGEST_TURN, 1 + draws[1:3].T * LARGEST_SCALE
    seen = sizes * scale
    cos, sin = torch.cos(turn), torch.sin(turn)
    turned = torch.stack([cos, -sin, sin, cos], dim=1).reshape(-1, 2, 2)  # in pixels
    half_source, half_target = sizes.flip(1) / 2, seen.flip(1) / 2
    matrix = turned * half_target[:, None, :] / half_source[:, :, None]
    return torch.cat([matrix, LARGEST_SHIFT * draws[3:].T[:, :, None]], dim=2), seen


def seen_points(points: Tensor, source_from_target: Tensor) -> Tensor:
    """Where points of a crop are in a view of it.

    Args:
        points: (n, K, 2), normalised over the crop. source_from_target: (n, 2, 3), see `random_views`.
    Returns:
        (n, K, 2), normalised over the view.
    """
    matrix, shift = source_from_target[:, :, :2], source_from_target[:, :, 2]
    moved = points - shift[:, None]
    seen: Tensor = torch.linalg.solve(matrix, moved.transpose(1, 2)).transpose(1, 2)
    return seen


def view(thumbnails: Tensor, source_from_target: Tensor) -> Tensor:
    """Thumbnails (n, 3, h, w) of the views."""
    shape = list(thumbnails.shape)
    grid = F.affine_grid(source_from_target, shape, align_corners=False)
    return F.grid_sample(thumbnails, grid, padding_mode="border", align_corners=False)


def straightened_points(points: Tensor, sizes: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Where the text lies in its own straightened crop, and how large that crop is.

    Args:
        points: (n, K, 2), control points of the text in the crop, normalised.
        sizes: (n, 2), height and width of the crop, pixels. margin: around the text, text heights.
    Returns:
        points (n, K, 2), normalised over the straightened crop, and its sizes (n, 2), pixels, at least 1.
    """
    height, length = height_and_length(points, sizes)
    longer, higher = 1 + extension_of(height, length, margin), 1 + 2 * margin
    seen = torch.stack([height * higher, length * longer], dim=1).clamp(min=1.0)
    across = torch.linspace(-1, 1, points.shape[1] // 2, device=points.device) / longer[:, None]
    down = torch.full_like(across, 1 / higher)
    edges = [torch.stack([across, sign * down], dim=2) for sign in (-1, 1)]
    return torch.cat(edges, dim=1), seen
