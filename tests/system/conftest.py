"""Running commands as a user runs them, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``stn-deploy`` with arguments in an empty folder; nothing is checked.

    library: a folder of packages that are installed for this command, too.
    """

    def call(
        *arguments: object, library: Path | None = None, **options: object
    ) -> subprocess.CompletedProcess[str]:
        paths = [str(path) for path in (library, ROOT) if path]
        return subprocess.run(
            [sys.executable, "-m", "stn_deploy.cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "160", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            **options,  # type: ignore[call-overload]
        )

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
