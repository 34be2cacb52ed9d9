"""Groups of work done by several threads at once, their results in order: the only threads of a pipeline.

Whoever takes the results also reads the source, in that thread, and only as far ahead as the bound allows:
a slow consumer stops all of it. Nothing outlives the iterator: at its end, at an error, when it is closed or
let go of, groups that were not begun are dropped and those that run are waited for.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from stn_deploy.errors import ClosedError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item]], Sequence[Result]]


class _Guard:
    """Counts the groups that run, and lets none begin after it was shut.

    A pool alone does not know a thread whose start Ctrl-C interrupted, and would not wait for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[int] = set()  # threads
        self._shut = False

    def run(self, work: Work[Item, Result], items: Sequence[Item]) -> Sequence[Result]:
        """Do it in this thread; nothing comes of it once the guard is shut."""
        with self._changed:
            if self._shut:
                return []
            self._running.add(threading.get_ident())
        try:
            return work(items)
        finally:
            with self._changed:
                self._running.discard(threading.get_ident())
                self._changed.notify_all()

    def shut(self) -> bool:
        """Wait for what runs. False in one of its own threads: the garbage collector comes in any."""
        with self._changed:
            self._shut = True
            if threading.get_ident() in self._running:
                return False
            while self._running:
                self._changed.wait()
            return True


@dataclass(slots=True)
class _Group(Generic[Item, Result]):
    items: Sequence[Item]
    done: Future[Sequence[Result]]


def overlapped(
    groups: Iterator[Sequence[Item]],
    work: Work[Item, Result],
    *,
    workers: int,
    ahead: int,
    name: str = "overlap",
) -> Generator[Result, None, None]:
    """Results of groups of items, in order, while several groups are worked on.

    Args:
        groups: read in the thread that takes the results. Where it raises, the results of what came before
            are given first.
        work: called in a thread with a group; gives the results of its first few items, at least one. The
            rest becomes a group of its own, begun when all before it is taken.
        workers: threads. ahead: groups that are begun or wait to be. name: of the threads.
    Raises:
        ClosedError: the process was forked, and this is the child.
    """
    process = os.getpid()
    guard = _Guard()
    pool = ThreadPoolExecutor(workers, name)
    line: deque[_Group[Item, Result]] = deque()
    broken: Exception | None = None
    more = True
    try:
        while True:
            while more and len(line) < ahead:
                try:
                    items = next(groups)
                except StopIteration:
                    more = False
                except Exception as error:  # noqa: BLE001, raised below
                    broken, more = error, False
                else:
                    line.append(_Group(items, pool.submit(guard.run, work, items)))
                    del items
            if not line:
                break
            results = deque(line[0].done.result())
            group = line.popleft()
            if rest := group.items[len(results) :]:
                line.appendleft(_Group(rest, pool.submit(guard.run, work, rest)))
            del group, rest
            while results:
                yield results.popleft()
                if os.getpid() != process:
                    raise ClosedError(
                        "pipeline: expected the process that began it, got a fork of it; call it anew there"
                    )
    finally:
        if os.getpid() == process:
            pool.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=guard.shut())
    if broken is not None:
        raise broken
