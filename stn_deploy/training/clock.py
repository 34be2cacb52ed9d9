"""How long a training has run, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds of training, without interruptions, and images per second of the epoch."""

    def __init__(self, seconds: float = 0.0, *, now: Callable[[], float] = time.monotonic) -> None:
        """Go on from so many seconds."""
        self._now = now
        self._started = now() - seconds
        self.begin_epoch()

    @property
    def seconds(self) -> float:
        """Since the start of the training."""
        return self._now() - self._started

    @property
    def images_per_second(self) -> float:
        """Since the start of the epoch."""
        return self._images / max(self._now() - self._epoch, 1e-9)

    def begin_epoch(self) -> None:
        """Count images from here."""
        self._epoch, self._images = self._now(), 0

    def count(self, images: int) -> None:
        """Note images that were trained on."""
        self._images += images
