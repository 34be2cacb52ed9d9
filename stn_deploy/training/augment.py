"""Changes of light and colour, drawn anew each time a thumbnail is used."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def vary_light(thumbnails: Tensor, generator: Generator) -> Tensor:
    """Permute the channels, change their contrast, invert, and hide a small patch, each now and then.

    Noise and blur belong to the rendering; here is only what is cheap and gives a new picture each epoch.

    Args:
        thumbnails: (n, 3, h, w), values in [0, 255].
    Returns:
        (n, 3, h, w).
    """
    count, channels, height, width = thumbnails.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    varied = thumbnails[:, torch.randperm(channels, generator=generator)]
    sign = torch.where(uniform(count, 1, 1, 1) < 0.3, -1.0, 1.0)
    varied = varied * (sign * (0.6 + 0.8 * uniform(count, channels, 1, 1)))
    top, left = uniform(count, 1) * height, uniform(count, 1) * width
    inside_y = (torch.arange(height)[None] - top).abs() < 1 + 4 * uniform(count, 1)
    inside_x = (torch.arange(width)[None] - left).abs() < 1 + 4 * uniform(count, 1)
    hidden = (inside_y[:, :, None] & inside_x[:, None]) & (uniform(count, 1, 1) < 0.12)
    colour = (uniform(count, channels) * 510 - 255)[:, :, None, None]
    return torch.where(hidden[:, None], colour, varied)
