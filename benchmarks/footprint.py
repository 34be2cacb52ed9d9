"""Start-up time, memory and reliability of the command line: all of icdar2015_test through ``rectify``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from time import perf_counter

from _record import ROOT, arguments, dataset, keep, spread

IMPORT = """
import sys, time
started = time.perf_counter()
import stn_deploy.runtime
print(time.perf_counter() - started, "torch" in sys.modules)
"""
FIRST = """
import time
started = time.perf_counter()
import numpy as np
from stn_deploy.runtime import Rectifier
Rectifier()(np.zeros((40, 120, 3), np.uint8))
print(time.perf_counter() - started, "torch" in __import__("sys").modules)
"""
REPEATS = 15


def main() -> None:
    """Each measurement runs in processes of its own."""
    options = arguments(__doc__)
    result = {
        "import_runtime_seconds": timed(IMPORT),
        "import_and_first_image_seconds": timed(FIRST),
        "rectify": rectify_all(dataset(options, "icdar2015_test.zip")),
    }
    keep("footprint", result)


def timed(program: str) -> dict[str, object]:
    """Seconds that a small program prints, over several fresh processes; whether torch was loaded."""
    runs = []
    for _ in range(REPEATS):
        printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        seconds, torch_loaded = printed.stdout.split()
        runs.append((float(seconds), torch_loaded == "True"))
    return {**spread([seconds for seconds, _ in runs[1:]]), "torch_loaded": any(loaded for _, loaded in runs)}


def rectify_all(archive: Path) -> dict[str, object]:
    """The whole set as files through the command line, its peak memory by the kernel's count."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in"), Path(folder, "out")
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(source)
        command = [sys.executable, "-m", "stn_deploy.cli", "rectify", str(source), "-o", str(output)]
        started = perf_counter()
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - started
        lines = [json.loads(line) for line in (output / "rectified.jsonl").read_text().splitlines()]
    return {
        "exit_status": os.waitstatus_to_exitcode(status),
        "images": len(lines),
        "failures": sum("error" in line for line in lines),
        "straightened": sum(line.get("applied", False) for line in lines),
        "seconds": round(seconds, 2),
        "images_per_second_files_to_files": round(len(lines) / seconds),
        "peak_memory_megabytes": round(usage.ru_maxrss / 1024, 1),
    }


if __name__ == "__main__":
    main()
