"""Running commands as a user runs them, in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def warm() -> Iterator[subprocess.Popen[str]]:
    """A process that forks for each command, see tests/system/warm.py."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.system.warm"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


@pytest.fixture
def run(tmp_path: Path, warm: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run ``stn-deploy`` with arguments in an empty folder; nothing is checked.

    library: a folder of packages that are installed for this command, too; then, and with options of
    ``subprocess.run``, the command starts as a user's does, in a Python that has imported nothing.
    """
    outputs = tmp_path_factory.mktemp("outputs")

    def call(
        *arguments: object, library: Path | None = None, **options: object
    ) -> subprocess.CompletedProcess[str]:
        paths = [str(path) for path in (library, ROOT) if path]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "COLUMNS": "160",
            "NO_COLOR": "1",
        }
        argv = [str(argument) for argument in arguments]
        if library or options:
            return subprocess.run(
                [sys.executable, "-m", "stn_deploy.cli", *argv],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                **options,  # type: ignore[call-overload]
            )
        files = {name: outputs / name for name in ("stdout", "stderr")}
        job = {"argv": argv, "cwd": str(tmp_path), "env": environment}
        assert warm.stdin is not None
        assert warm.stdout is not None
        warm.stdin.write(json.dumps(job | {name: str(path) for name, path in files.items()}) + "\n")
        warm.stdin.flush()
        status = int(warm.stdout.readline())
        written = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
        return subprocess.CompletedProcess(argv, status, **written)

    return call


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder ``photographs`` with two good images; tests add bad ones between them."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for target, source in (("a_first.jpg", "arch.jpg"), ("z_last.jpg", "straight_1.jpg")):
        (folder / target).write_bytes((SAMPLES / source).read_bytes())
    return folder


@pytest.fixture(scope="session")
def arch() -> np.ndarray:
    """A sample photograph of curved text, (h, w, 3) uint8."""
    image = cv2.imread(str(SAMPLES / "arch.jpg"))
    assert image is not None
    return image
