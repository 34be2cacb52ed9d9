"""Closing a batcher: what waits is computed or told, and nobody waits for ever."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from stn_deploy.errors import ClosedError, QueueFullError
from stn_deploy.runtime import Batcher, BatchLimits
from tests.batching import FOR_EVER, HANG, LONG, Doubling, busy, in_thread, until, waiting


def test_closing_computes_what_waits_without_its_delay(doubling: Doubling) -> None:
    batcher: Batcher[int, int] = Batcher(doubling, LONG)
    futures = [batcher.submit(item) for item in range(3)]
    assert batcher.close()
    assert all(future.done() for future in futures)
    assert [future.result() for future in futures] == [0, 2, 4]
    assert batcher.close(drain=False)


def test_closing_without_draining_finishes_what_runs_and_tells_the_rest(doubling: Doubling) -> None:
    batcher: Batcher[int, int] = Batcher(doubling, LONG)
    busy(batcher, doubling)
    futures = [batcher.submit(item) for item in range(5)]
    closing = in_thread(lambda: batcher.close(drain=False))
    for future in futures:
        with pytest.raises(ClosedError, match="closed before it was taken up"):
            future.result(HANG)
    assert closing.is_alive()
    doubling.gate.set()
    closing.join()
    counters = batcher.counters()
    assert (counters.done, counters.discarded) == (4, 5)
    assert doubling.batches == [[0] * 4]


def test_closing_waits_no_longer_than_asked_and_can_be_cut_short(doubling: Doubling) -> None:
    batcher: Batcher[int, int] = Batcher(doubling, LONG)
    busy(batcher, doubling)
    future = batcher.submit(5)
    assert not batcher.close(timeout=0.01)
    assert not batcher.close(timeout=0)
    assert not future.done()
    assert not batcher.close(drain=False, timeout=0)
    assert isinstance(future.exception(HANG), ClosedError)
    doubling.gate.set()
    assert batcher.close()


def test_threads_that_wait_for_room_are_told_of_the_closing(doubling: Doubling) -> None:
    told: list[str] = []

    def submit() -> None:
        try:
            batcher.submit(9, wait=None)
        except ClosedError as error:
            told.append(str(error))

    batcher: Batcher[int, int] = Batcher(doubling, LONG)
    busy(batcher, doubling)
    for item in range(6):
        batcher.submit(item)
    threads = [in_thread(submit) for _ in range(5)]
    until(lambda: waiting(batcher._crew._room) == 5)
    assert not batcher.close(timeout=0)
    for thread in threads:
        thread.join()
    assert told == ["batcher: closed; it takes no more items"] * 5
    doubling.gate.set()
    assert batcher.close()


@pytest.mark.parametrize("drain", [True, False])
def test_several_threads_may_close_at_once(drain: bool, doubling: Doubling) -> None:
    batcher: Batcher[int, int] = Batcher(doubling, LONG, workers=2)
    busy(batcher, doubling)
    futures = [batcher.submit(item) for item in range(3)]
    finished: list[bool] = []
    threads = [in_thread(lambda: finished.append(batcher.close(drain=drain))) for _ in range(16)]
    doubling.gate.set()
    for thread in threads:
        thread.join()
    assert finished == [True] * 16
    assert all(future.done() for future in futures)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("drain", [True, False])
def test_callbacks_may_close(
    workers: int, drain: bool, doubling: Doubling, caplog: pytest.LogCaptureFixture
) -> None:
    doubling.gate.clear()
    batcher: Batcher[int, int] = Batcher(
        doubling, BatchLimits(max_batch=1, max_delay=0, max_waiting=9), workers=workers
    )
    futures = [batcher.submit(item) for item in range(9)]
    for future in futures:
        future.add_done_callback(lambda _: batcher.close(drain=drain))
    doubling.gate.set()
    for item, future in enumerate(futures):
        error = future.exception(HANG)
        assert (future.result() == 2 * item) if error is None else isinstance(error, ClosedError)
    assert batcher.close()
    assert caplog.text == ""
    assert sum(future.exception() is None for future in futures) in (range(1, 10) if not drain else [9])


def test_a_handler_may_close() -> None:
    def handler(items: list[int]) -> list[int]:
        assert not batcher.close()
        return items

    batcher: Batcher[int, int] = Batcher(handler, BatchLimits(max_delay=0))
    assert batcher.submit(3).result(HANG) == 3
    assert batcher.close()


def test_a_callback_may_submit_but_never_waits_for_its_own_thread() -> None:
    refused = threading.Event()
    limits = BatchLimits(max_batch=1, max_delay=0, max_waiting=1)

    def go_on(future: Future[int]) -> None:
        try:
            for _ in range(3):
                batcher.submit(future.result() + 1, wait=None)
        except QueueFullError:
            refused.set()

    with Batcher[int, int](lambda items: items, limits) as batcher:
        batcher.submit(0).add_done_callback(go_on)
        assert refused.wait(HANG)
        until(lambda: batcher.counters().done == 2)


@pytest.mark.parametrize(
    "error", [ValueError(), KeyboardInterrupt(), SystemExit()], ids=lambda error: type(error).__name__
)
def test_a_block_that_fails_is_drained_but_one_that_is_broken_off_is_not(error: BaseException) -> None:
    drained = isinstance(error, Exception)
    limits = BatchLimits(max_delay=FOR_EVER)
    futures = []

    def serve() -> None:
        with Batcher[int, int](lambda items: items, limits) as batcher:
            futures.append(batcher.submit(3))
            raise error

    with pytest.raises(type(error)):
        serve()
    (future,) = futures
    assert future.done()
    assert (future.exception() is None) == drained
