"""Threads that share work keep its order and its bound, and none outlives whoever takes the results."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from stn_deploy.errors import ClosedError
from stn_deploy.runtime import overlap
from stn_deploy.runtime.overlap import overlapped

NAME = "overlap under test"


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(NAME)]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert threads() == []


class Source:
    """Groups of consecutive numbers; counts how many were read."""

    def __init__(self, groups: int, size: int = 3, error: BaseException | None = None) -> None:
        self.read, self._groups, self._size, self._error = 0, groups, size, error

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> list[int]:
        if self.read == self._groups:
            raise StopIteration if self._error is None else self._error
        self.read += 1
        return list(range((self.read - 1) * self._size, self.read * self._size))


def squares(group: Sequence[int]) -> list[int]:
    return [item**2 for item in group]


def overlapping(
    source: Iterator[Sequence[int]],
    work: Callable[[Sequence[int]], Sequence[int]] = squares,
    workers: int = 3,
    ahead: int = 5,
) -> Iterator[int]:
    return overlapped(source, work, workers=workers, ahead=ahead, name=NAME)


def test_results_come_in_order_though_later_groups_are_done_first() -> None:
    later = threading.Event()

    def first_is_last(group: Sequence[int]) -> list[int]:
        if 0 in group:
            assert later.wait(60)
        if 6 in group:
            later.set()
        return squares(group)

    assert list(overlapping(Source(20), first_is_last)) == [n**2 for n in range(60)]


def test_as_many_groups_run_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3)

    def meet(group: Sequence[int]) -> list[int]:
        together.wait(60)
        return squares(group)

    assert list(overlapping(Source(9), meet)) == [n**2 for n in range(27)]


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (1, 3), (2, 4), (4, 4), (3, 50)])
def test_the_source_is_not_read_further_ahead_than_the_bound(workers: int, ahead: int) -> None:
    source, taken = Source(30), 0
    for _ in overlapping(source, workers=workers, ahead=ahead):
        taken += 1
        begun = -(-taken // 3)  # the group that is being taken, and those before it
        assert source.read <= begun - 1 + ahead
    assert taken == 90


def test_nothing_is_read_before_the_first_result_is_asked_for() -> None:
    source = Source(3)
    results = overlapping(source)
    assert (source.read, threads()) == (0, [])
    assert next(results) == 0
    assert source.read == 3
    assert list(results) == [n**2 for n in range(1, 9)]


def test_no_more_groups_are_in_flight_than_the_bound() -> None:
    lock, working, most = threading.Lock(), 0, 0

    def count(group: Sequence[int]) -> list[int]:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        result = squares(group)
        with lock:
            working -= 1
        return result

    source = Source(40)
    assert len(list(overlapping(source, count, workers=8, ahead=3))) == 120
    assert most <= 3


def test_what_a_group_leaves_over_is_done_in_its_place() -> None:
    groups: list[Sequence[int]] = []

    def at_most_two(group: Sequence[int]) -> list[int]:
        groups.append(group)
        return squares(group[: 2 if group[0] % 4 else 1])

    assert list(overlapping(Source(7, size=5), at_most_two)) == [n**2 for n in range(35)]
    assert max(map(len, groups)) == 5
    assert min(map(len, groups)) < 5


def test_an_error_of_the_source_comes_after_the_results_before_it() -> None:
    results = overlapping(Source(4, error=ZeroDivisionError()))
    assert [next(results) for _ in range(12)] == [n**2 for n in range(12)]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_an_error_of_the_work_comes_in_its_place() -> None:
    source = Source(1000)
    results = overlapping(source, lambda group: [1 // (item - 7) for item in group])
    for _ in range(6):
        next(results)
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert (source.read < 10, threads()) == (True, [])


@pytest.mark.parametrize("end", ["close", "let go", "throw", "interrupted source"])
def test_whoever_stops_early_leaves_no_thread_and_no_work(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun = threading.Event(), []

    class Pool(ThreadPoolExecutor):
        """Whose work goes on only once it is being shut down."""

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            gate.set()
            super().shutdown(wait=wait)

    monkeypatch.setattr(overlap, "ThreadPoolExecutor", Pool)

    def wait(group: Sequence[int]) -> list[int]:
        begun.append(group[0])
        if group[0]:
            assert gate.wait(60)
        return squares(group)

    source = Source(2 if end == "interrupted source" else 1000, error=KeyboardInterrupt())
    results = overlapping(source, wait, workers=2, ahead=5)
    if end == "interrupted source":
        with pytest.raises(KeyboardInterrupt):
            next(results)
        assert threads() == []
        return
    assert next(results) == 0
    if end == "close":
        results.close()  # type: ignore[attr-defined]
    elif end == "throw":
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    else:
        del results
        gc.collect()
    assert len(begun) <= 3
    assert source.read == 5
    assert threads() == []


@pytest.mark.parametrize("interrupted", [0, 1, 2])
def test_ctrl_c_while_a_thread_starts_leaves_nothing_at_work(
    interrupted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that runs, but of which the pool does not know."""
    started: list[threading.Thread] = []
    counts, counted = {"begun": 0, "ended": 0}, threading.Lock()
    start = threading.Thread.start

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        if len(started) == interrupted + 1:
            time.sleep(0.01)  # long enough to be at work
            raise KeyboardInterrupt

    def work(group: Sequence[int]) -> list[int]:
        with counted:
            counts["begun"] += 1
        time.sleep(0.02)
        with counted:
            counts["ended"] += 1
        return squares(group)

    monkeypatch.setattr(threading.Thread, "start", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(overlapping(Source(1000), work))
    at_return = dict(counts)
    for thread in started:
        thread.join()
    assert counts == at_return
    assert counts["begun"] == counts["ended"] <= 3


def test_the_garbage_collector_may_come_in_a_thread_of_its_own() -> None:
    let_go: list[Iterator[int]] = []
    unraisable: list[object] = []
    last_one = threading.Event()

    def drop(group: Sequence[int]) -> list[int]:
        if group[0] == 9:
            assert last_one.wait(60)
            let_go.clear()
        return squares(group)

    inner = overlapping(Source(1000), drop, workers=1, ahead=5)
    let_go.append(inner)
    assert next(inner) == 0
    del inner
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    last_one.set()
    try:
        for thread in threading.enumerate():
            if thread.name.startswith(NAME):
                thread.join()
    finally:
        sys.unraisablehook = hook
    assert (let_go, unraisable) == ([], [])


def test_an_error_of_the_consumer_ends_the_threads() -> None:
    def consume() -> None:
        for result in overlapping(Source(1000)):
            if result == 25:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()


def test_one_that_was_never_begun_has_no_threads() -> None:
    source = Source(3)
    overlapping(source).close()  # type: ignore[attr-defined]
    assert source.read == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_refuses_the_results_of_its_parent() -> None:
    results = overlapping(Source(9))
    assert next(results) == 0
    child = os.fork()
    if child == 0:
        try:
            next(results)
        except ClosedError:
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert list(results) == [n**2 for n in range(1, 27)]
