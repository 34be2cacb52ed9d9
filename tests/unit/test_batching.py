"""The batcher: what goes in comes out once, in batches, or says why not."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from itertools import chain
from typing import Any

import pytest

from stn_deploy.errors import ArgumentError, BatchError, ClosedError, DeadlineError, QueueFullError
from stn_deploy.runtime import BatchCounters, Batcher, BatchLimits
from tests.batching import FOR_EVER, HANG, LONG, Doubling, busy, in_thread, until, waiting


def test_items_come_back_doubled_each_in_its_own_future(doubling: Doubling) -> None:
    with Batcher(doubling, BatchLimits(max_batch=4, max_delay=0.001)) as batcher:
        futures = [batcher.submit(item) for item in range(50)]
        assert [future.result(HANG) for future in futures] == list(range(0, 100, 2))
    assert sorted(chain(*doubling.batches)) == list(range(50))
    assert max(map(len, doubling.batches)) <= 4


def test_a_full_batch_does_not_wait_for_the_delay(doubling: Doubling) -> None:
    with Batcher(doubling, LONG) as batcher:
        futures = [batcher.submit(item) for item in range(4)]
        assert [future.result(HANG) for future in futures] == [0, 2, 4, 6]
    assert doubling.batches == [[0, 1, 2, 3]]


def test_a_batch_that_is_not_full_goes_after_the_delay(doubling: Doubling) -> None:
    with Batcher(doubling, BatchLimits(max_delay=0.02)) as batcher:
        start = time.monotonic()
        assert batcher.submit(3).result(HANG) == 6
        assert time.monotonic() - start >= 0.02


def test_what_comes_while_the_worker_is_busy_goes_together(doubling: Doubling) -> None:
    with Batcher(doubling, BatchLimits(max_batch=4, max_delay=0)) as batcher:
        doubling.gate.clear()
        batcher.submit(7)
        assert doubling.entered.acquire(timeout=HANG)
        for item in range(6):
            batcher.submit(item)
        doubling.gate.set()
    assert doubling.batches == [[7], [0, 1, 2, 3], [4, 5]]


def test_an_item_near_its_deadline_is_computed_and_does_not_wait_for_company(doubling: Doubling) -> None:
    with Batcher(doubling, LONG) as batcher:
        slow = batcher.submit(1)
        soon = batcher.submit(2, deadline=time.monotonic() + 1.0)
        assert (soon.result(HANG), slow.result(HANG)) == (4, 2)
    assert doubling.batches == [[1, 2]]


def test_one_bad_item_fails_alone(doubling: Doubling) -> None:
    def raising(items: list[int]) -> list[int | BaseException]:
        if min(items) < -10:
            raise KeyError(min(items))
        return doubling(items)

    with Batcher(raising, LONG) as batcher:
        futures = [batcher.submit(item) for item in (1, -2, -30, 4)]
        assert (futures[0].result(HANG), futures[3].result(HANG)) == (2, 8)
        with pytest.raises(ValueError, match="-2 is negative"):
            futures[1].result(HANG)
        with pytest.raises(KeyError, match="-30"):
            futures[2].result(HANG)
        counters = batcher.counters()
    assert (counters.done, counters.failed, counters.batch_sizes) == (2, 2, {4: 1})


def test_a_handler_that_ends_its_thread_ends_only_the_batch() -> None:
    def handler(items: list[int]) -> list[int]:
        if 0 in items:
            raise SystemExit(3)
        return items

    with Batcher(handler, BatchLimits(max_batch=2, max_delay=FOR_EVER)) as batcher:
        ended = [batcher.submit(0), batcher.submit(1)]
        assert [type(future.exception(HANG)) for future in ended] == [SystemExit] * 2
        assert [batcher.submit(2), batcher.submit(3)][1].result(HANG) == 3


def test_a_handler_that_forgets_a_result_is_named() -> None:
    with Batcher[int, int](lambda items: items[1:], BatchLimits(max_delay=0)) as batcher:
        error = batcher.submit(1).exception(HANG)
    assert isinstance(error, BatchError)
    assert str(error) == "handler: expected a list of 1 results, one for each item, got 0 results"


def test_a_full_line_refuses_with_its_name(doubling: Doubling) -> None:
    with Batcher(doubling, LONG) as batcher:
        busy(batcher, doubling)
        futures = [batcher.submit(item) for item in range(6)]
        with pytest.raises(QueueFullError, match=r"expected room in the line, got 6 items .* wait=seconds"):
            batcher.submit(6)
        with pytest.raises(QueueFullError):
            batcher.submit(6, wait=0.01)
        assert (batcher.counters().refused, batcher.counters().waiting) == (2, 6)
        doubling.gate.set()
        assert [future.result(HANG) for future in futures[:4]] == [0, 2, 4, 6]


@pytest.mark.parametrize("patience", [None, HANG, math.inf])
def test_whoever_waits_for_room_gets_it(patience: float | None, doubling: Doubling) -> None:
    results: list[int] = []
    with Batcher(doubling, LONG) as batcher:
        busy(batcher, doubling)
        for item in range(6):
            batcher.submit(item)
        threads = [
            in_thread(lambda item=item: results.append(batcher.submit(item, wait=patience).result(HANG)))  # type: ignore[misc]
            for item in (10, 11, 12, 13, 14, 15)
        ]
        doubling.gate.set()
        for thread in threads:
            thread.join()
    assert sorted(results) == [20, 22, 24, 26, 28, 30]
    assert batcher.counters().refused == 0


def test_an_item_that_is_cancelled_in_time_never_runs_and_gives_its_place_away(doubling: Doubling) -> None:
    with Batcher(doubling, LONG) as batcher:
        busy(batcher, doubling)
        futures = [batcher.submit(item) for item in range(6)]
        waiting = in_thread(lambda: batcher.submit(9, wait=None))
        assert futures[1].cancel()
        waiting.join()  # got the place
        assert futures[1].cancel()
        assert futures[1].cancelled()
        with pytest.raises(CancelledError):
            futures[1].result(HANG)
        assert wait(futures[1:2], HANG).done == {futures[1]}  # whoever waits for many is told, too
        doubling.gate.set()
        assert futures[0].result(HANG) == 0
        assert not futures[0].cancel()
    assert sorted(chain(*doubling.batches[1:])) == [0, 2, 3, 4, 5, 9]
    assert batcher.counters().cancelled == 1


def test_what_is_being_computed_cannot_be_cancelled(doubling: Doubling) -> None:
    with Batcher(doubling, BatchLimits(max_delay=0)) as batcher:
        doubling.gate.clear()
        future = batcher.submit(5)
        assert doubling.entered.acquire(timeout=HANG)
        assert future.running()
        assert not future.cancel()
        doubling.gate.set()
        assert future.result(HANG) == 10


def test_a_deadline_is_kept_while_all_workers_are_busy(doubling: Doubling) -> None:
    with Batcher(doubling, LONG) as batcher:
        busy(batcher, doubling)
        calm = batcher.submit(3, deadline=time.monotonic() + FOR_EVER)
        until(lambda: waiting(batcher._crew._watched) == 1)
        late = batcher.submit(1, deadline=time.monotonic() + 0.01)
        sooner = batcher.submit(2, deadline=time.monotonic() + 0.005)
        for future in (late, sooner):
            with pytest.raises(
                DeadlineError, match=r"before its deadline, which passed .* s ago; not computed"
            ):
                future.result(HANG)
            assert isinstance(future.exception(), TimeoutError)
        assert not calm.done()
        counters = batcher.counters()
        assert (counters.expired, counters.waiting, counters.running) == (2, 1, 4)
        doubling.gate.set()
    assert calm.result() == 6
    assert doubling.batches == [[0] * 4, [3]]


def test_an_expired_item_gives_its_place_to_who_waits_for_room(doubling: Doubling) -> None:
    with Batcher(doubling, LONG) as batcher:
        busy(batcher, doubling)
        for item in range(6):
            batcher.submit(item, deadline=time.monotonic() + (0.05 if item == 3 else FOR_EVER))
        futures: list[Future[int]] = []
        thread = in_thread(lambda: futures.append(batcher.submit(9, wait=HANG)))
        thread.join(HANG / 2)
        assert not thread.is_alive()
        assert batcher.counters().expired == 1
        doubling.gate.set()
    assert futures[0].result() == 18


def test_a_deadline_that_has_passed_or_passes_while_waiting_for_room_fails_in_the_future(
    doubling: Doubling,
) -> None:
    with Batcher(doubling, LONG) as batcher:
        busy(batcher, doubling)
        futures = [batcher.submit(1, deadline=moment) for moment in (0.5, -math.inf, time.monotonic())]
        for item in range(6):
            batcher.submit(item)
        futures += [
            batcher.submit(1, deadline=time.monotonic() + 0.01, wait=patience) for patience in (None, 9)
        ]
        assert [type(future.exception(HANG)) for future in futures] == [DeadlineError] * 5
        assert (batcher.counters().expired, batcher.counters().refused) == (5, 0)
        doubling.gate.set()


def test_no_deadline_and_one_in_infinity_are_the_same(doubling: Doubling) -> None:
    with Batcher(doubling, BatchLimits(max_delay=0)) as batcher:
        assert batcher.submit(1, deadline=math.inf).result(HANG) == 2


@pytest.mark.parametrize("deadline", [math.nan, "1", True, 1j])
def test_a_deadline_that_is_no_moment_is_refused(deadline: Any, doubling: Doubling) -> None:
    with Batcher(doubling) as batcher, pytest.raises(ArgumentError, match="deadline: expected a moment"):
        batcher.submit(1, deadline=deadline)


@pytest.mark.parametrize("seconds", [math.nan, "1", False, -1])
def test_times_to_wait_that_are_no_seconds_are_refused(seconds: Any, doubling: Doubling) -> None:
    with Batcher(doubling) as batcher:
        with pytest.raises(ArgumentError, match="wait: expected seconds, 0 or more, or None"):
            batcher.submit(1, wait=seconds)
        with pytest.raises(ArgumentError, match="timeout: expected seconds, 0 or more, or None"):
            batcher.close(timeout=seconds)
        assert batcher.submit(1) is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"handler": 7}, "handler: expected a function of a list of items, got 7"),
        ({"limits": 32}, "limits: expected BatchLimits, got 32"),
        ({"workers": 0}, "workers: expected a whole number from 1, got 0"),
        ({"workers": True}, "workers: expected"),
    ],
)
def test_settings_that_make_no_batcher_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Batcher(**{"handler": list, **settings})


def test_counters_tell_what_became_of_each_item(doubling: Doubling) -> None:
    batcher = Batcher(doubling, LONG)
    assert batcher.counters() == BatchCounters()
    busy(batcher, doubling)
    futures = [batcher.submit(item) for item in (1, -2, 3)]
    late = batcher.submit(4, deadline=time.monotonic() + 0.001)
    assert late.exception(HANG)
    futures[2].cancel()
    assert batcher.counters() == BatchCounters(
        waiting=2,
        running=4,
        submitted=8,
        expired=1,
        cancelled=1,
        batch_sizes={4: 1},
        waited=batcher.counters().waited,
    )
    doubling.gate.set()
    until(lambda: batcher.counters().running == 0)
    for item in (5, 6):
        batcher.submit(item)
    assert isinstance(futures[1].exception(HANG), ValueError)
    batcher.submit(7)
    assert batcher.close(drain=False)
    counters = batcher.counters()
    assert (counters.done, counters.failed, counters.discarded, counters.submitted) == (7, 1, 1, 11)
    assert counters.waited > 0
    assert counters.batch_sizes == {4: 2}


def test_asyncio_awaits_the_futures_and_its_cancellation_reaches_them(doubling: Doubling) -> None:
    async def serve(batcher: Batcher[int, int]) -> list[int]:
        asked = [asyncio.wrap_future(batcher.submit(item)) for item in range(4)]
        dropped = asyncio.wrap_future(batcher.submit(9))
        dropped.cancel()
        await asyncio.sleep(0)
        return await asyncio.gather(*asked)

    with Batcher(doubling, LONG) as batcher:
        assert asyncio.run(serve(batcher)) == [0, 2, 4, 6]
        until(lambda: batcher.counters().cancelled == 1)


def test_callbacks_that_raise_are_logged_and_stop_nothing(
    doubling: Doubling, caplog: pytest.LogCaptureFixture
) -> None:
    def callback(error: BaseException) -> Callable[[object], None]:
        def call(_: object) -> None:
            raise error

        return call

    doubling.gate.clear()
    with Batcher(doubling, LONG) as batcher, caplog.at_level(logging.ERROR):
        futures = [batcher.submit(item) for item in range(4)]
        for future, error in zip(futures, (KeyError("no"), SystemExit(3), KeyboardInterrupt()), strict=False):
            future.add_done_callback(callback(error))
        doubling.gate.set()
        assert [future.result(HANG) for future in futures] == [0, 2, 4, 6]
        again = [batcher.submit(item) for item in range(4)]
        assert [future.result(HANG) for future in again] == [0, 2, 4, 6]
    assert len([record for record in caplog.records if record.exc_info]) == 3


def test_a_future_that_a_stranger_finishes_stops_nothing(
    doubling: Doubling, caplog: pytest.LogCaptureFixture
) -> None:
    with Batcher(doubling, LONG) as batcher:
        futures = [batcher.submit(item) for item in range(3)]
        futures[1].set_result(77)
        futures.append(batcher.submit(3))
        assert [future.result(HANG) for future in futures] == [0, 77, 4, 6]
        assert batcher.counters().cancelled == 1
    assert "unexpected state" in caplog.text


class Heavy:
    """An item, or a result, whose end can be seen."""


@pytest.mark.parametrize("bad", [False, True], ids=["results", "errors"])
def test_a_future_that_is_kept_keeps_no_item_and_nothing_of_its_batch(bad: bool) -> None:
    def handler(items: list[Heavy]) -> list[Heavy]:
        if bad and any(item is first for item in items):
            raise ValueError("the first")
        return [Heavy() for _ in items]

    first: Heavy | None = Heavy()
    batcher = Batcher(handler, BatchLimits(max_batch=4, max_delay=FOR_EVER))
    items = [Heavy() for _ in range(3)]
    alive = [weakref.ref(item) for item in items]
    kept = batcher.submit(first)  # type: ignore[arg-type]
    others = [batcher.submit(item) for item in items]
    results = [weakref.ref(future.result(HANG)) for future in others]
    assert isinstance(kept.exception(HANG), ValueError) == bad
    crew = weakref.ref(batcher._crew)
    batcher.close()
    del items, others, batcher
    gc.collect()
    assert [item() for item in alive] == [None] * 3
    assert [result() for result in results] == [None] * 3
    assert bad or crew() is None  # an error leads to the handler anyway
    assert kept.done()


def test_a_future_without_a_result_keeps_no_item(doubling: Doubling) -> None:
    items = [Heavy() for _ in range(3)]
    alive = [weakref.ref(item) for item in items]
    batcher: Batcher[Heavy, Heavy] = Batcher(list, LONG)
    cancelled, expired, discarded = (
        batcher.submit(item, deadline=deadline)
        for item, deadline in zip(items, (None, time.monotonic() - 1, None), strict=True)
    )
    cancelled.cancel()
    batcher.close(drain=False)
    del items
    gc.collect()
    assert [item() for item in alive] == [None] * 3
    assert cancelled.cancelled()
    assert [type(expired.exception()), type(discarded.exception())] == [DeadlineError, ClosedError]


def test_an_idle_batcher_keeps_neither_items_nor_results() -> None:
    with Batcher[Heavy, Heavy](lambda items: [Heavy() for _ in items], BatchLimits(max_delay=0)) as batcher:
        item = Heavy()
        alive = weakref.ref(item)
        result = weakref.ref(batcher.submit(item).result(HANG))
        del item
        until(lambda: alive() is None and result() is None)


def test_a_batcher_that_is_forgotten_computes_what_it_has_and_its_threads_end(doubling: Doubling) -> None:
    batcher: Batcher[int, int] = Batcher(doubling, LONG)
    future = batcher.submit(4, deadline=time.monotonic() + FOR_EVER)
    threads = [*batcher._crew._workers, batcher._crew._watch]
    assert all(thread and thread.is_alive() for thread in threads)
    del batcher
    gc.collect()
    assert future.result(HANG) == 8
    for thread in threads:
        assert thread is not None
        thread.join(HANG)
        assert not thread.is_alive()


def test_a_closed_batcher_refuses_by_name(doubling: Doubling) -> None:
    batcher: Batcher[int, int] = Batcher(doubling)
    assert batcher.close()
    with pytest.raises(ClosedError, match="batcher: closed; it takes no more items"):
        batcher.submit(1)
    assert batcher.counters() == BatchCounters()
