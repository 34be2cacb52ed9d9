"""A process of its own that straightens a long stream, and prints how much memory it holds on the way.

python _stream.py KIND FILE COUNT: KIND arrays or files; FILE holds crops, or the bytes of image files, as
NumPy writes them; COUNT images go through, the same ones again and again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from stn_deploy.runtime import Pipeline, Rectifier


def main() -> None:
    """A line of JSON: megabytes after so many images, at the start and at the peak; images a second."""
    kind, path, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with np.load(path) as stored:
        images: list[Any] = [stored[name] for name in stored.files]
    if kind == "files":
        images = [data.tobytes() for data in images]
    before = resident("VmRSS")
    rectifier = Rectifier(engine="cpu")
    stream = islice(cycle(images), count)
    results = rectifier(stream) if kind == "arrays" else Pipeline(rectifier, workers=2)(stream)
    marks = {1000, *(count * part // 40 for part in range(4, 41))}
    held, started = {}, perf_counter()
    for number, _ in numbered(results):
        if number in marks:
            held[number] = resident("VmRSS")
    seconds = perf_counter() - started
    json.dump(
        {
            "megabytes": held,
            "before": before,
            "peak": resident("VmHWM"),
            "images_per_second": count / seconds,
        },
        sys.stdout,
    )


def numbered(results: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    yield from enumerate(results, 1)


def resident(field: str) -> float:
    """Megabytes of this process, as the kernel counts them; what its parent held is not among them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return round(int(line.split()[1]) / 1024, 1)
    raise SystemExit(f"the kernel does not tell {field}")


if __name__ == "__main__":
    main()
