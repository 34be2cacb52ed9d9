"""What one step of the training learns from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Crops of which the text is known.

    thumbnails: (m, 3, h, w) float, [0, 255]. sizes: (m, 2), height and width of the crops, pixels.
    pictures: (m, 1, H, W) float, [0, 255], the crops in grey, stretched to one size. labels: (m, LONGEST)
    int64, see `stn_deploy.training.recogniser.encode`. lengths: (m,) int64, of the labels.
    """

    thumbnails: Tensor
    sizes: Tensor
    pictures: Tensor
    labels: Tensor
    lengths: Tensor

    @property
    def seen(self) -> tuple[Tensor, Tensor]:
        """What localisation looks at."""
        return self.thumbnails, self.sizes


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Thumbnails with their truth.

    thumbnails: (n, 3, h, w) float, [0, 255]. sizes: (n, 2), height and width of the crops, pixels.
    points: (n, K, 2), true control points, normalised. texts: beside them.
    """

    thumbnails: Tensor
    sizes: Tensor
    points: Tensor
    texts: Texts | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return cast(Batch, _moved(self, device))


def _moved(tensors: Any, device: torch.device) -> Any:
    moved = {
        field.name: value.to(device) if isinstance(value, Tensor) else _moved(value, device)
        for field in fields(tensors)
        if (value := getattr(tensors, field.name)) is not None
    }
    return replace(tensors, **moved)
