"""What the tests of the batcher share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from stn_deploy.runtime import Batcher, BatchLimits

HANG = 60.0
"""Seconds after which a test that hangs fails instead; nothing is measured."""
FOR_EVER = 3600.0
LONG = BatchLimits(max_batch=4, max_delay=FOR_EVER, max_waiting=6)


class Doubling:
    """Doubles numbers, raises for negative ones, and waits in between while its gate is shut."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.gate.set()

    def __call__(self, items: list[int]) -> list[int | BaseException]:
        self.batches.append(list(items))
        self.entered.release()
        assert self.gate.wait(HANG)
        return [ValueError(f"{item} is negative") if item < 0 else 2 * item for item in items]


def busy(batcher: Batcher[int, int], doubling: Doubling) -> None:
    """Keep the one worker at work, with a full batch of noughts, until the gate opens."""
    doubling.gate.clear()
    for _ in range(4):
        batcher.submit(0)
    assert doubling.entered.acquire(timeout=HANG)
    assert batcher.counters().running == 4


def in_thread(call: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end
        time.sleep(1e-3)


def waiting(condition: threading.Condition) -> int:
    """Threads that wait for a condition."""
    return len(condition._waiters)  # type: ignore[attr-defined]
