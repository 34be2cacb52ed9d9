"""NVIDIA's compute-sanitizer finds nothing wrong with the kernels: no race, no access past an end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_the_kernels_are_clean(cupy: Any, tool: str, pytestconfig: pytest.Config) -> None:
    sanitizer = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin"
    )
    if sanitizer is None:
        pytest.skip("needs compute-sanitizer, which comes with the CUDA toolkit")
    folders = filter(None, (str(pytestconfig.rootpath), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [
        sanitizer,
        "--tool",
        tool,
        "--error-exitcode",
        "99",
        sys.executable,
        str(HERE / "sanitized.py"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if "Device not supported" in said:
        pytest.skip(
            "needs a machine on which compute-sanitizer may watch the GPU; it says: Device not supported"
        )
    assert done.returncode == 0, said[-6000:]
    assert "launched" in said
