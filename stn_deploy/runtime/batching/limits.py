"""How large a batch may grow, how long an item waits for company, and how many may wait."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from stn_deploy.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """Limits of a batcher.

    max_batch: items in a batch, at least 1.
    max_delay: seconds that an item waits for company while a worker is idle; 0 sends it off at once, and
        batches form only while the workers are busy.
    max_waiting: items that wait, those being computed not counted; at least ``max_batch``.

    Raises:
        ArgumentError: a limit out of range.
    """

    max_batch: int = 32
    max_delay: float = 0.002
    max_waiting: int = 256

    def __post_init__(self) -> None:
        if not is_whole(self.max_batch) or self.max_batch < 1:
            raise ArgumentError(f"max_batch: expected a whole number from 1, got {self.max_batch!r}")
        if not is_number(self.max_delay) or not 0 <= self.max_delay < math.inf:
            raise ArgumentError(f"max_delay: expected seconds, 0 or more, got {self.max_delay!r}")
        if not is_whole(self.max_waiting) or self.max_waiting < self.max_batch:
            raise ArgumentError(
                f"max_waiting: expected a whole number from {self.max_batch} (max_batch), for a batch fills "
                f"from what waits; got {self.max_waiting!r}"
            )


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a value is a real number; True, False and NaN are none."""
    return not isinstance(value, bool) and isinstance(value, Real) and not math.isnan(value)
