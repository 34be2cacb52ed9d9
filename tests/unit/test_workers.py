"""Processes that work together: a lost one ends the work with its reason, and none outlives its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stn_deploy.errors import OutputError
from stn_deploy.training.workers import results_in_order

SCRIPT = """
import os, signal
from stn_deploy.training.workers import results_in_order
if __name__ == "__main__":
    results = results_in_order(abs, [-1, -2, -3], processes=2, start=int, arguments=())
    print(next(results), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def nothing() -> None:
    """Prepares no process."""


def test_a_process_that_is_lost_ends_the_work_with_the_remedy() -> None:
    results = results_in_order(os._exit, [9], processes=2, start=nothing, arguments=())
    with pytest.raises(OutputError, match="a rendering process was ended from outside.*fewer processes"):
        list(results)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as killed:
        said, _ = killed.communicate(timeout=300)  # the end of what is said is the end of who could say it
    assert said == "1\n"
