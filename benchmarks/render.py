"""Rendered words a second: into the pool of a training, and into a labelled set of PNG files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
from _record import arguments, keep, spread

from stn_deploy.training.pool import CHUNK, PoolSettings, build_pools
from stn_deploy.training.render import RenderSettings, write_set
from stn_deploy.training.wordlist import find_vocabulary

ROUNDS, WORDS, SEED = 7, 8 * CHUNK, 11
Report = Callable[[int], None]


def main() -> None:
    """1 and 2 processes, taking turns; each rate begins when all processes draw, fonts found and loaded."""
    options = arguments(__doc__, limit="words of a round")
    words = options.limit or WORDS
    vocabulary = find_vocabulary()
    pool = PoolSettings(thumbnail_size=(32, 64), control_points=20, seed=SEED)
    labelled = RenderSettings(vocabulary=vocabulary, seed=SEED, count=words)

    def into_a_pool(processes: int, report: Report) -> None:
        build_pools(pool, rendered=words, processes=processes, progress=report)

    def into_a_set(processes: int, report: Report) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_set(Path(folder) / "set", labelled, processes=processes, progress=report)

    rates: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, work in (("pool of a training", into_a_pool), ("set of PNG files", into_a_set)):
            for processes in (1, 2):
                label = f"{name}, {processes} process{'es' * (processes > 1)}"
                rates.setdefault(label, []).append(rate(work, processes))
    result: dict[str, Any] = {
        "words_of_a_round": words,
        "fonts": len(vocabulary.fonts),
        "cores": os.cpu_count(),
        "words_per_second": {label: spread(values) for label, values in rates.items()},
    }
    keep("render", result, trial=options.limit is not None)


def rate(work: Callable[[int, Report], None], processes: int) -> float:
    """Words a second after the first chunk of every process."""
    marks: list[tuple[int, float]] = [(0, perf_counter())]
    work(processes, lambda done: marks.append((marks[-1][0] + done, perf_counter())))
    started = next((mark for mark in marks if mark[0] >= processes * CHUNK), marks[0])
    if started == marks[-1]:
        started = marks[0]
    return (marks[-1][0] - started[0]) / (marks[-1][1] - started[1])


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
