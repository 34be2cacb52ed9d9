"""What one step of the training learns from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Thumbnails with their truth.

    thumbnails: (n, 3, h, w) float, [0, 255]. sizes: (n, 2), height and width of the crops, pixels.
    points: (n, K, 2), true control points, normalised.
    """

    thumbnails: Tensor
    sizes: Tensor
    points: Tensor

    def __len__(self) -> int:
        return len(self.sizes)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        moved = {field.name: getattr(self, field.name).to(device) for field in fields(self)}
        return replace(self, **moved)
