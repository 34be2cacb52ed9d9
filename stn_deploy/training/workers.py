"""Work shared out to processes, which end with what began them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from stn_deploy.errors import OutputError

Job = TypeVar("Job")
Result = TypeVar("Result")


def results_in_order(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    processes: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Generator[Result, None, None]:
    """The result of each job, in their order; to be closed when not all of them are taken.

    Args:
        processes: at least 1; one works in this process.
        start: called with ``arguments`` in each process before its first job.
    Raises:
        OutputError: a process ended before its time.
    """
    if processes == 1:
        start(*arguments)
        yield from map(work, jobs)
        return
    # Not forked: the parent may already run the threads of torch and OpenCV. Not multiprocessing.Pool: it
    # waits for ever for the job of a process that was killed.
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(processes, context, initializer=_start_worker, initargs=(start, arguments))
    try:
        yield from workers.map(work, jobs)
    except BrokenProcessPool:
        raise OutputError(
            "a rendering process was ended from outside, perhaps for want of memory; try fewer processes"
        ) from None
    finally:
        workers.shutdown(cancel_futures=True)


def _start_worker(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    start(*arguments)


def _end_with_parent() -> None:
    """A killed parent cannot end its workers, and each would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
