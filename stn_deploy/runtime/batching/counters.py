"""What a batcher has done so far: the figures for a service's metrics."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class BatchCounters:
    """One consistent view of a batcher. All but ``waiting`` and ``running`` only grow.

    ``submitted = waiting + running + done + failed + expired + cancelled + discarded``, always.

    waiting, running: items at this moment.
    submitted: items that got a future.
    done, failed: items that were computed, with a result and with an exception.
    expired: items whose deadline came before they were taken up.
    cancelled: items whose future was cancelled before they were taken up.
    discarded: items that waited when the batcher was closed without draining.
    refused: items that found no room, and got no future.
    waited: seconds that all items that were taken up had waited, together.
    batch_sizes: how many batches there were of each size.
    """

    waiting: int = 0
    running: int = 0
    submitted: int = 0
    done: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    discarded: int = 0
    refused: int = 0
    waited: float = 0.0
    batch_sizes: dict[int, int] = field(default_factory=dict)
