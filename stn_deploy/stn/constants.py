"""Constants of a transform inside a torch module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Constants(nn.Module):
    """Named float64 arrays as tensors that move with the module they belong to and are not saved with it.

    They are float32, float64 after ``.double()``, and never less: ``.half()`` is for networks, see
    `stn_deploy.stn.precision`.
    """

    def __init__(self, values: Mapping[str, NDArray[np.float64]]) -> None:
        super().__init__()
        self._values = dict(values)
        for name, value in self._values.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Constants:
        empty = [name for name in self._values if self.get_buffer(name).is_meta]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in self._values.items():
            moved = self.get_buffer(name)
            if moved.dtype != torch.float32 or name in empty:
                wide = torch.float64 if moved.dtype == torch.float64 else torch.float32
                setattr(self, name, torch.tensor(value, dtype=wide, device=moved.device))
        return self
