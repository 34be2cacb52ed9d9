"""A batcher at the end of the interpreter, under Ctrl-C, and in a fork. Each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

HANG = 60

PRELUDE = """
import os, signal, sys, threading, time
from concurrent.futures import Future
from stn_deploy.errors import ClosedError
from stn_deploy.runtime import Batcher, BatchLimits
signal.signal(signal.SIGINT, signal.default_int_handler)  # programs in the background ignore it
gate, entered = threading.Event(), threading.Event()
def handler(items):
    entered.set()
    assert gate.wait(60)
    return [2 * item for item in items]
def say(*words):
    print(*words, flush=True)
limits = BatchLimits(max_batch=2, max_delay=3600, max_waiting=4)
batcher = Batcher(handler, limits)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    program = PRELUDE + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )


def test_what_waits_when_the_interpreter_ends_is_computed_first() -> None:
    done = run("""
        for item in range(3):
            future = batcher.submit(item, deadline=time.monotonic() + 3600)
            future.add_done_callback(lambda future: say(future.result()))
        threading.Timer(0.05, gate.set).start()
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["0", "2", "4"]


@pytest.mark.parametrize("ending", ["sys.exit(7)", "raise KeyError('end')"])
def test_a_program_that_ends_badly_ends_nevertheless(ending: str) -> None:
    done = run(f"""
        gate.set()
        batcher.submit(1).add_done_callback(lambda future: say(future.result()))
        {ending}
    """)
    assert done.returncode in (1, 7)
    assert done.stdout.split() == ["2"]


def test_a_thread_that_waits_for_room_at_the_end_gets_it() -> None:
    done = run("""
        for item in range(6):
            batcher.submit(item, wait=None)
            if item == 1:
                entered.wait()
        def late():
            future = batcher.submit(9, wait=None)
            batcher.close()
            say(future.result())
        threading.Thread(target=late).start()
        threading.Timer(0.05, gate.set).start()
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["18"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
@pytest.mark.parametrize("where", ["wait for room", "wait for a result", "close"])
def test_ctrl_c_breaks_off_whatever_the_main_thread_waits_for(where: str) -> None:
    waits = {
        "wait for room": "batcher.submit(9, wait=None)",
        "wait for a result": "futures[5].result()",
        "close": "batcher.close()",
    }
    done = run(f"""
        def press():
            entered.wait()
            time.sleep(0.05)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            futures[5].exception()  # was discarded
            gate.set()
        futures = []
        try:
            with batcher:
                for item in range(6):
                    futures.append(batcher.submit(item, wait=None))
                    if item == 1:
                        entered.wait()
                threading.Thread(target=press).start()
                {waits[where]}
        except KeyboardInterrupt:
            say("broken off")
        for future in futures:
            say(type(future.exception()).__name__)
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[:3] == ["broken off", "NoneType", "NoneType"]
    assert set(done.stdout.split()[4:]) == {"ClosedError"}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@needs_fork
def test_a_batcher_that_was_used_before_a_fork_is_refused_in_the_child_and_works_on_in_the_parent() -> None:
    done = run("""
        parent = os.getpid()
        futures = [batcher.submit(item, deadline=time.monotonic() + 3600) for item in range(3)]
        entered.wait()
        held = threading.Event()
        def hold():  # another thread holds the lock at the moment of the fork
            with batcher._crew._lock:
                held.set()
                gate.wait()
        threading.Thread(target=hold).start()
        held.wait()
        if not (child := os.fork()):
            asked = futures[2].result, futures[0].exception
            for call in (lambda: batcher.submit(1), batcher.counters, *asked):
                try:
                    call()
                except ClosedError as error:
                    say(f"process {parent}" in str(error) and f"process {os.getpid()}, a fork" in str(error))
            say(futures[2].cancel(), batcher.close(), batcher.close(drain=False))
            sys.exit(3)  # and atexit waits for nobody
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        gate.set()
        batcher.close()
        say(*[future.result() for future in futures])
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["True"] * 4 + ["True True True", "3", "0 2 4", ""]


@needs_fork
def test_a_batcher_that_was_not_used_before_a_fork_works_in_both() -> None:
    done = run("""
        gate.set()
        child = os.fork()
        with batcher:
            futures = [batcher.submit(item) for item in range(2)]
            if not child:
                say(futures[1].result())
                sys.exit(3)
            say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), futures[1].result())
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["2", "3 2", ""]


@needs_fork
def test_results_that_were_there_before_a_fork_are_there_after_it() -> None:
    done = run("""
        gate.set()
        futures = [batcher.submit(item) for item in range(2)]
        assert futures[1].result() == 2
        if not os.fork():
            say(futures[1].result(), futures[1].exception())
            os._exit(0)
        os.wait()
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 None\n", "")
