"""The threads of a batcher: all of them, and nothing else.

One lock guards the line and the counters. Neither the handler nor a callback ever runs under it, so both may
call the batcher. It is reentrant, for a signal handler or the garbage collector may come at any moment.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Generic, TypeVar, cast

from stn_deploy.errors import ClosedError, QueueFullError
from stn_deploy.runtime.batching.counters import BatchCounters
from stn_deploy.runtime.batching.isolation import Handler, each_result
from stn_deploy.runtime.batching.limits import BatchLimits
from stn_deploy.runtime.batching.line import Line
from stn_deploy.runtime.batching.pending import Pending

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew(Generic[Item, Result]):
    """Workers that compute batches, and a watch that fails late items while the workers are busy.

    Threads start with the first item, the watch with the first deadline: a crew that was not used before a
    fork works after it. They are daemons and are waited for by ``atexit``, before the interpreter goes down.
    """

    def __init__(self, handler: Handler[Item, Result], limits: BatchLimits, workers: int, name: str) -> None:
        self._handler, self._limits, self._size, self._name = handler, limits, workers, name
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)  # for workers: a batch is due sooner than they thought
        self._watched = threading.Condition(self._lock)  # for the watch: a deadline is sooner than it thought
        self._room = threading.Condition(self._lock)  # for those who submit: an item has left the line
        self._line: Line[Pending[Item, Result]] = Line(limits)
        self._counts: Counter[str] = Counter()
        self._batch_sizes: Counter[int] = Counter()
        self._waited = 0.0
        self._workers: list[threading.Thread] = []
        self._watch: threading.Thread | None = None
        self._closed = False
        self._process: int | None = None
        self._at_exit = partial(_close_at_exit, weakref.ref(self))

    def submit(self, item: Item, deadline: float, wait: float) -> Pending[Item, Result]:
        """See `Batcher.submit`; infinity stands for None."""
        self._check_process()
        future: Pending[Item, Result] = Pending(item, deadline)
        future.add_done_callback(partial(_forget, weakref.ref(self)))
        with self._lock:
            self._check_open()
            self._start(with_watch=deadline < math.inf)
            in_time = self._find_room(deadline, wait)
            self._counts["submitted"] += 1
            if in_time:
                self._admit(future)
            else:
                self._claim([future], "expired")
        if not in_time:
            future.settle_late()
        return future

    def counters(self) -> BatchCounters:
        """See `Batcher.counters`."""
        self._check_process()
        with self._lock:
            sizes, counts = dict(sorted(self._batch_sizes.items())), dict(self._counts)
            return BatchCounters(
                waiting=len(self._line), waited=self._waited, batch_sizes=sizes, **cast(Any, counts)
            )

    def stop(self) -> None:
        """Take no more items, compute what waits, and end: without waiting for it."""
        if self._is_elsewhere():
            return
        with self._lock:
            self._closed = True
            self._line.hurry()
            for condition in (self._work, self._watched, self._room):
                condition.notify_all()

    def close(self, *, drain: bool, timeout: float) -> bool:
        """See `Batcher.close`; infinity stands for None."""
        if self._is_elsewhere():
            return True
        with self._lock:
            self.stop()
            discarded = [] if drain else self._claim(self._line.clear(), "discarded")
            threads = [*self._workers, *([self._watch] if self._watch else [])]
        for future in discarded:
            message = "item: the batcher was closed before it was taken up; close(drain=True) computes it"
            future.settle(ClosedError(message))
        if threading.current_thread() not in threads:  # none waits for itself, nor two for each other
            until = time.monotonic() + timeout
            for thread in threads:
                thread.join(_seconds(max(until - time.monotonic(), 0)))
        finished = not any(thread.is_alive() for thread in threads)
        if finished:
            atexit.unregister(self._at_exit)
        return finished

    def forget(self, future: Pending[Item, Result]) -> None:
        """Give the place of an item that was cancelled to another."""
        if self._is_elsewhere():
            return
        with self._lock:
            if self._line.drop(future):
                self._claim([future], "cancelled")
                self._room.notify()

    # --- Under the lock

    def _find_room(self, deadline: float, wait: float) -> bool:
        """Wait until there is room; False where the deadline comes first."""
        now = time.monotonic()
        patience = now + wait
        while now < deadline:
            if not self._line.full:
                return True
            if now >= patience or threading.current_thread() in self._workers:
                self._counts["refused"] += 1
                raise QueueFullError(
                    f"item: expected room in the line, got {len(self._line)} items that wait; submit it with "
                    "wait=seconds (not from a handler or a callback, which would wait for itself), later, or "
                    "to a batcher of a larger max_waiting"
                )
            try:
                self._room.wait(_seconds(min(deadline, patience) - now))
            except BaseException:  # Ctrl-C: whoever was woken in vain wakes the next one
                self._room.notify()
                raise
            self._check_open()
            now = time.monotonic()
        self._room.notify()
        return False

    def _admit(self, future: Pending[Item, Result]) -> None:
        due, watched = self._line.wait_until(), self._line.next_deadline()
        self._line.offer(future, time.monotonic(), future.deadline)
        if self._line.wait_until() < due:
            self._work.notify()
        if self._line.next_deadline() < watched:
            self._watched.notify()

    def _claim(self, futures: Iterable[Pending[Item, Result]], count_as: str) -> list[Pending[Item, Result]]:
        """Those of some futures out of the line that were not cancelled; each is counted."""
        mine = []
        for future in futures:
            if future.claim():
                mine.append(future)
                self._counts[count_as] += 1
            else:
                future.hand_over()
                self._counts["cancelled"] += 1
        return mine

    def _start(self, *, with_watch: bool) -> None:
        if self._process is None:
            self._process = os.getpid()
            atexit.register(self._at_exit)
        while len(self._workers) < self._size:
            self._workers.append(self._started(self._compute_batches, f"{self._name} {len(self._workers)}"))
        if with_watch and self._watch is None:
            self._watch = self._started(self._watch_deadlines, f"{self._name} watch")

    def _started(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("batcher: closed; it takes no more items")

    # --- In the threads

    def _compute_batches(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._compute(batch)
            del batch  # neither items nor results are kept while waiting for the next ones

    def _next_batch(self) -> list[Pending[Item, Result]] | None:
        """The next batch, which may be empty; None after the last one."""
        with self._lock:
            while self._line.wait_until() > (now := time.monotonic()):
                if self._closed and not self._line:
                    self._watched.notify_all()
                    return None
                self._work.wait(_seconds(self._line.wait_until() - now))
            taken, late = self._line.next_batch(now)
            self._room.notify(len(taken) + len(late))
            batch, expired = self._claim(taken, "running"), self._claim(late, "expired")
            if batch:
                self._waited += sum(now - future.arrived for future in batch)
                self._batch_sizes[len(batch)] += 1
            if self._line:
                self._work.notify()  # another worker may have to take the rest
        for future in expired:
            future.settle_late()
        return batch

    def _compute(self, batch: list[Pending[Item, Result]]) -> None:
        if not batch:
            return
        outcomes = each_result(self._handler, [future.hand_over() for future in batch])
        failed = sum(isinstance(outcome, BaseException) for outcome in outcomes)
        with self._lock:
            self._counts["running"] -= len(batch)
            self._counts["failed"] += failed
            self._counts["done"] += len(batch) - failed
        for future, outcome in zip(batch, outcomes, strict=True):
            future.settle(outcome)
        # An exception keeps the frames that it passed: this one shall not lead to the rest of the batch.
        del batch, outcomes, future, outcome

    def _watch_deadlines(self) -> None:
        while (expired := self._next_expired()) is not None:
            for future in expired:
                future.settle_late()
            del expired

    def _next_expired(self) -> list[Pending[Item, Result]] | None:
        """The items whose deadline has come next; None after the last item."""
        with self._lock:
            while self._line.next_deadline() > (now := time.monotonic()):
                if self._closed and not self._line:
                    return None
                self._watched.wait(_seconds(self._line.next_deadline() - now))
            late = self._line.expire(now)
            self._room.notify(len(late))
            return self._claim(late, "expired")

    # --- After a fork

    def _is_elsewhere(self) -> bool:
        """Whether this is a fork of the process of the threads; asked before the lock is touched."""
        return self._process is not None and self._process != os.getpid()

    def _check_process(self) -> None:
        if self._is_elsewhere():
            raise ClosedError(
                f"batcher: expected to be used in process {self._process}, where its threads run, got "
                f"process {os.getpid()}, a fork of it; make a batcher, or use it first, after the fork"
            )


def _seconds(time_left: float) -> float:
    return min(time_left, threading.TIMEOUT_MAX)


def _forget(crew: weakref.ref[Crew[Any, Any]], future: Any) -> None:
    """Callback of each future; it does not keep the crew."""
    if future.cancelled() and (alive := crew()) is not None:
        alive.forget(future)


def _close_at_exit(crew: weakref.ref[Crew[Any, Any]]) -> None:
    if (alive := crew()) is not None:
        alive.close(drain=True, timeout=math.inf)
