"""The batcher as its users meet it: items in, one by one and from any thread; futures out."""

from __future__ import annotations

import math
import weakref
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, TypeVar

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.batching.counters import BatchCounters
from stn_deploy.runtime.batching.crew import Crew
from stn_deploy.runtime.batching.isolation import Handler
from stn_deploy.runtime.batching.limits import BatchLimits, is_number, is_whole

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects items that come one by one from many threads, and computes them in batches.

    A batch goes off when it is full, or when its first item has waited for ``limits.max_delay``; batches that
    form while all workers are busy cost no delay at all. One bad item never spoils its batch. Results come in
    futures of the standard library, so ``await asyncio.wrap_future(batcher.submit(item))`` works, too.

    What waits when the interpreter exits is computed first. A batcher that was not used before a fork works
    after it; one that was is refused there.

    Attributes:
        limits: as they were given.
    """

    def __init__(
        self,
        handler: Handler[Item, Result],
        limits: BatchLimits | None = None,
        *,
        workers: int = 1,
        name: str = "batcher",
    ) -> None:
        """Make a batcher; its threads start with the first item.

        Args:
            handler: called with a list of items, gives for each, in order, a result or an exception. Where it
                raises instead, it is called again with the halves of the list, down to the item to blame.
            limits: of batches and of the line; see `BatchLimits` for the default.
            workers: threads that call the handler, at least 1. With several it must be thread-safe.
            name: of the threads.
        Raises:
            ArgumentError: an argument out of its range or of the wrong kind.
        """
        if not callable(handler):
            raise ArgumentError(f"handler: expected a function of a list of items, got {handler!r}")
        if limits is not None and not isinstance(limits, BatchLimits):
            raise ArgumentError(f"limits: expected BatchLimits, got {limits!r}")
        if not is_whole(workers) or workers < 1:
            raise ArgumentError(f"workers: expected a whole number from 1, got {workers!r}")
        self.limits = limits or BatchLimits()
        self._crew: Crew[Item, Result] = Crew(handler, self.limits, workers, name)
        # A batcher that nobody can use any more computes what it has, and its threads end.
        weakref.finalize(self, self._crew.stop).atexit = False

    def submit(
        self, item: Item, *, deadline: float | None = None, wait: float | None = 0.0
    ) -> Future[Result]:
        """Hand in one item, from any thread.

        ``cancel()`` of the future keeps an item that was not taken up yet from being computed, and gives its
        place to another. Callbacks run in the batcher's threads and should be quick.

        Args:
            item: not to be changed until its future is done.
            deadline: a moment of ``time.monotonic()``, for example ``time.monotonic() + 0.5``. An item that
                was not taken up until then is not computed, and its future raises `DeadlineError` at once.
                While a worker is idle, waiting for company takes at most half of the time until it.
            wait: seconds to wait for room while ``limits.max_waiting`` items wait, not past the deadline;
                0 refuses at once, None waits as long as it takes.
        Returns:
            a future of the result.
        Raises:
            QueueFullError: there was no room in time.
            ClosedError: the batcher is closed, or was used before a fork and this is the child.
            ArgumentError: a deadline or a time to wait that is no number.
        """
        if deadline is not None and not is_number(deadline):
            raise ArgumentError(f"deadline: expected a moment of time.monotonic(), or None, got {deadline!r}")
        if wait is not None and not (is_number(wait) and wait >= 0):
            raise ArgumentError(f"wait: expected seconds, 0 or more, or None, got {wait!r}")
        return self._crew.submit(
            item, math.inf if deadline is None else deadline, math.inf if wait is None else wait
        )

    def counters(self) -> BatchCounters:
        """What has been done so far, for metrics. Raises ClosedError after a fork."""
        return self._crew.counters()

    def close(self, *, drain: bool = True, timeout: float | None = None) -> bool:
        """Take no more items, and wait until the last batch is computed.

        May be called again, from several threads, and from a handler or a callback, where it does not wait. A
        call without draining also cuts short another one that is draining. In a fork it does nothing.

        Args:
            drain: compute what waits; else that fails with `ClosedError`, and only what runs is finished.
            timeout: seconds to wait; None waits as long as it takes.
        Returns:
            whether all is finished.
        Raises:
            ArgumentError: a timeout that is no number of seconds.
        """
        if timeout is not None and not (is_number(timeout) and timeout >= 0):
            raise ArgumentError(f"timeout: expected seconds, 0 or more, or None, got {timeout!r}")
        return self._crew.close(drain=drain, timeout=math.inf if timeout is None else timeout)

    def __enter__(self) -> Batcher[Item, Result]:
        """The batcher itself; leaving closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it: draining, also after an error; but Ctrl-C and SystemExit do not wait for the line."""
        self.close(drain=kind is None or issubclass(kind, Exception))
