"""Trainings in processes of their own: killed and gone on with, and two that train together."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.conftest import ROOT

Done = subprocess.CompletedProcess[str]


def train(*arguments: object, processes: int = 1) -> Done:
    """Run the small training in one process, or under torchrun in several."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    launcher = torchrun if processes > 1 else []
    script = ROOT / "tests" / "small_training.py"
    return subprocess.run(
        [sys.executable, *launcher, str(script), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def weights(done: Done) -> list[str]:
    assert done.returncode == 0, done.stderr
    return re.findall(r"weights (\w+)", done.stdout)


def epochs(folder: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = weights(train(tmp_path / "whole"))
    killed = train(tmp_path / "killed", "--kill-at", 12)  # the second epoch is half done
    assert killed.returncode == -signal.SIGKILL
    assert epochs(tmp_path / "killed") == [1]
    assert weights(train(tmp_path / "killed", "--resume")) == whole
    assert epochs(tmp_path / "killed") == [1, 2]
    kept = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("whole", "killed")]
    assert kept[0] == kept[1]
    files = {"checkpoint.safetensors", "metrics.jsonl", "samples", "state.safetensors", "tensorboard"}
    assert {path.name for path in (tmp_path / "killed").iterdir()} == files


@pytest.mark.slow
def test_two_processes_train_one_rectifier_and_end_together(tmp_path: Path) -> None:
    first, second = weights(train(tmp_path / "whole", processes=2))
    assert first == second
    assert epochs(tmp_path / "whole") == [1, 2]
    values = json.loads((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()[-1]).values()
    assert all(abs(value) < 1e6 for value in values)  # no NaN either

    killed = train(tmp_path / "killed", "--kill-at", 12, processes=2)  # the second of them; the first waits
    assert killed.returncode != 0
    assert weights(train(tmp_path / "killed", "--resume", processes=2)) == [first, second]
    kept = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("whole", "killed")]
    assert kept[0] == kept[1]

    alone = train(tmp_path / "killed", "--resume")
    assert "processes was 2 and is 1" in alone.stderr
