"""Sixteen threads at one batcher: each item ends once, in one way, and the counters agree."""

from __future__ import annotations

import math
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future

import pytest

from stn_deploy.errors import ClosedError, DeadlineError, QueueFullError
from stn_deploy.runtime import BatchCounters, Batcher, BatchLimits
from tests.batching import HANG, LONG, Doubling, busy, in_thread, until, waiting

THREADS = 16
Sent = dict[int, Future[int]]


@pytest.fixture(autouse=True)
def threads_change_often() -> Iterator[None]:
    """Many more interleavings than the usual 5 ms would show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Watched:
    """Negates items; raises where a multiple of 50 is among them. Counts how often each was handed in."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: Counter[int] = Counter()
        self.sizes: Counter[int] = Counter()

    def __call__(self, items: list[int]) -> list[int]:
        with self.lock:
            self.seen.update(items)
            self.sizes[len(items)] += 1
        if any(item % 50 == 0 for item in items):
            raise ValueError("a multiple of 50")
        return [-item for item in items]


def outcome(future: Future[int]) -> str:
    try:
        error = future.exception(HANG)
    except CancelledError:
        return "cancelled"
    kinds: dict[type[BaseException], str] = {
        DeadlineError: "expired",
        ClosedError: "discarded",
        ValueError: "failed",
    }
    return "done" if error is None else kinds[type(error)]


def send(batcher: Batcher[int, int], thread: int, count: int, sent: Sent) -> None:
    """Submit in every way, cancel some; items are numbered over all threads."""
    chance = random.Random(thread)
    for number in range(thread, count * THREADS, THREADS):
        deadline = chance.choice([None, None, time.monotonic() + chance.uniform(-1e-4, 2e-3)])
        try:
            future = batcher.submit(number, deadline=deadline, wait=chance.choice([0.0, 1e-4, None]))
        except QueueFullError:
            continue
        except ClosedError:
            return
        sent[number] = future
        if chance.random() < 0.2:
            future.cancel()
        if chance.random() < 0.2:
            outcome(future)


def check(handler: Watched, sent: Sent, counters: BatchCounters) -> None:
    outcomes = {number: outcome(future) for number, future in sent.items()}
    for number, what in outcomes.items():
        assert (what == "failed") == (number % 50 == 0 and handler.seen[number] > 0)
        if what == "done":
            assert sent[number].result() == -number
        if what in ("done", "failed"):
            assert handler.seen[number] >= 1
        else:
            assert handler.seen[number] == 0, f"{number} was {what}, and yet computed"
    kinds = ("done", "failed", "expired", "cancelled", "discarded")
    assert {kind: getattr(counters, kind) for kind in kinds} == {
        kind: list(outcomes.values()).count(kind) for kind in kinds
    }
    assert counters.submitted == len(sent)
    assert (counters.waiting, counters.running) == (0, 0)
    assert (
        sum(size * count for size, count in counters.batch_sizes.items()) == counters.done + counters.failed
    )
    assert max(handler.sizes) <= 8


@pytest.mark.parametrize("delay", [0, 5e-4])
@pytest.mark.parametrize("workers", [1, 3])
def test_each_item_of_sixteen_threads_ends_once_and_is_counted(workers: int, delay: float) -> None:
    handler, sent = Watched(), Sent()
    batcher = Batcher(handler, BatchLimits(max_batch=8, max_delay=delay, max_waiting=12), workers=workers)
    run_threads(batcher, 60, sent)
    assert batcher.close()
    check(handler, sent, batcher.counters())
    assert handler.seen.keys() <= sent.keys()


@pytest.mark.parametrize("drain", [True, False])
def test_closing_amid_sixteen_threads_leaves_no_item_open(drain: bool) -> None:
    handler, sent = Watched(), Sent()
    batcher = Batcher(handler, BatchLimits(max_batch=8, max_delay=1e-4, max_waiting=12), workers=2)
    closing = threading.Thread(target=close_after, args=(batcher, 100, drain))
    closing.start()
    run_threads(batcher, 100_000, sent)
    closing.join()
    check(handler, sent, batcher.counters())


def test_items_of_one_thread_are_computed_in_their_order() -> None:
    order: list[int] = []

    def handler(items: list[int]) -> list[int]:
        order.extend(items)
        return [-item for item in items]

    sent: Sent = {}

    def submit(thread: int) -> None:
        for number in range(thread, 60 * THREADS, THREADS):
            sent[number] = batcher.submit(number, wait=None)

    with Batcher(handler, BatchLimits(max_batch=8, max_delay=1e-4, max_waiting=8)) as batcher:
        join([threading.Thread(target=submit, args=(thread,)) for thread in range(THREADS)])
    for thread in range(THREADS):
        own = [number for number in order if number % THREADS == thread]
        assert own == list(range(thread, 60 * THREADS, THREADS))
    assert all(future.result() == -number for number, future in sent.items())


def test_counters_are_consistent_at_every_moment() -> None:
    handler, sent, views = Watched(), Sent(), list[BatchCounters]()
    batcher = Batcher(handler, BatchLimits(max_batch=8, max_delay=1e-4, max_waiting=12), workers=2)
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            views.append(batcher.counters())

    looking = threading.Thread(target=look)
    looking.start()
    run_threads(batcher, 40, sent)
    stop.set()
    looking.join()
    assert batcher.close()
    for view in views:
        ended = view.done + view.failed + view.expired + view.cancelled + view.discarded
        assert view.submitted == view.waiting + view.running + ended
        assert 0 <= view.waiting <= 12
        assert 0 <= view.running <= 16


def test_a_burst_wakes_as_many_workers_as_it_has_batches() -> None:
    together = threading.Barrier(3)

    def handler(items: list[int]) -> list[int]:
        together.wait(HANG)
        return items

    batcher = Batcher[int, int](handler, BatchLimits(max_batch=2, max_delay=3600), workers=3)
    batcher.submit(-1).cancel()  # the workers start, and have nothing to do
    until(lambda: waiting(batcher._crew._work) == 3)
    with batcher._crew._lock:
        futures = [batcher.submit(item) for item in range(6)]
    assert [future.result(HANG) for future in futures] == list(range(6))
    assert batcher.close()


def test_a_place_that_becomes_free_for_one_who_is_too_late_goes_to_the_next(doubling: Doubling) -> None:
    futures: list[Future[int]] = []
    with Batcher(doubling, LONG) as batcher:
        busy(batcher, doubling)
        waits = [batcher.submit(item) for item in range(6)]
        deadline = time.monotonic() + 0.2
        late = in_thread(lambda: futures.append(batcher.submit(8, deadline=deadline, wait=None)))
        until(lambda: waiting(batcher._crew._room) == 1)
        calm = in_thread(lambda: futures.append(batcher.submit(9, wait=HANG)))
        until(lambda: waiting(batcher._crew._room) == 2)
        with batcher._crew._lock:
            until(lambda: time.monotonic() > deadline)
            waits[0].cancel()  # wakes the first, whose time is over
        late.join()
        calm.join(HANG / 2)
        assert not calm.is_alive()
        doubling.gate.set()
    kinds = {type(future.exception()) for future in futures}
    assert kinds == {DeadlineError, type(None)}


def run_threads(batcher: Batcher[int, int], count: int, sent: Sent) -> None:
    own: list[Sent] = [{} for _ in range(THREADS)]
    join(
        [
            threading.Thread(target=send, args=(batcher, thread, count, own[thread]))
            for thread in range(THREADS)
        ]
    )
    for part in own:
        sent.update(part)


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def close_after(batcher: Batcher[int, int], done: int, drain: bool) -> None:
    end = time.monotonic() + HANG
    while batcher.counters().done < done:
        assert time.monotonic() < end
        time.sleep(1e-4)
    assert batcher.close(drain=drain, timeout=math.inf)
