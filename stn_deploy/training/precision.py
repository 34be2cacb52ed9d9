"""Mixed precision: sixteen bits where the device is fast in them, and gradients that do not vanish."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler


class Precision:
    """Sixteen-bit arithmetic of one device.

    bfloat16 on CPUs and on the GPUs that have it, else float16, whose small gradients are scaled up.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        has_bfloat16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
        self.dtype = torch.bfloat16 if has_bfloat16 else torch.float16
        self.scaler = GradScaler(device.type, enabled=not has_bfloat16)

    @property
    def scales(self) -> bool:
        """Whether gradients are scaled; then a step whose gradients overflow is left out, not an error."""
        return self.scaler.is_enabled()

    def autocast(self) -> torch.autocast:
        """A context in which the network computes in sixteen bits."""
        return torch.autocast(self.device.type, dtype=self.dtype)

    def backward(self, loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
        """Gradients of the loss, unscaled."""
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimiser)

    def step(self, optimiser: torch.optim.Optimizer) -> None:
        """One step of the optimiser, unless its gradients overflowed."""
        self.scaler.step(optimiser)
        self.scaler.update()
