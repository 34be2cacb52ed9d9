"""The runtime: rates, waiting times, memory and quality, beside ASTER, TRBA, decoding alone and PP-OCRv6."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from _record import arguments, dataset, keep
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    """Each part runs in a process of its own, with as many threads of BLAS as it says; None: the default."""
    options = arguments(__doc__, quick=True)
    quick, crops, data = options.quick, dataset(options, "icdar2015_test.zip"), options.data
    share = 0.1 if quick else 1.0
    parts: dict[str, Callable[[], Any]] = {
        "decoded, 1 thread": lambda: apart(1, "_decoded.decoded_crops", crops, threads=1, seconds=70 * share),
        "decoded, 2 threads": lambda: apart(
            2, "_decoded.decoded_crops", crops, threads=2, seconds=50 * share
        ),
        "files, 2 threads": lambda: apart(None, "_decoded.jpeg_crops", data, threads=2, seconds=50 * share),
        "one image": lambda: apart(None, "_waits.one_image", crops, seconds=20 * share),
        "first result": lambda: apart(None, "_waits.first_result", repeats=3 if quick else 15),
        "memory": lambda: apart(None, "_waits.memory", crops, data, count=10_000 if quick else 100_000),
        "share": lambda: apart(1, "_share.share_of_recognition", crops, seconds=20 * share),
        "quality": lambda: apart(1, "_quality.quality", crops, count=128 if quick else 512),
    }
    result: dict[str, Any] = {}
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        for name, measure in parts.items():
            task = progress.add_task(name, total=1)
            result[name] = measure()
            progress.advance(task)
    conclude(result, trial=quick)


def apart(blas: int | None, name: str, /, *given: Any, **options: Any) -> Any:
    """What a function of a module returns in a new process, whose BLAS has so many threads."""
    spawn = multiprocessing.get_context("spawn")
    with environment(blas), ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(call, name, given, options).result()


def call(name: str, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(module), function)(*given, **options)


@contextmanager
def environment(threads: int | None) -> Iterator[None]:
    """New processes meanwhile start with so many threads of BLAS; None: as many as it takes by default."""
    before = {name: os.environ.pop(name, None) for name in BLAS}
    if threads is not None:
        os.environ.update(dict.fromkeys(BLAS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def conclude(result: dict[str, Any], *, trial: bool) -> None:
    """Hold what was measured against the goals, keep it, and show it."""
    from _decoded import decoded_goals, jpeg_goal
    from _quality import quality_goals
    from _share import share_goal
    from _turns import print_goals, print_rates
    from _waits import first_result_goal, memory_goals, one_image_goals

    goals = [
        *decoded_goals(result["decoded, 1 thread"]),
        jpeg_goal(result["files, 2 threads"]),
        *one_image_goals(result["one image"]),
        first_result_goal(result["first result"]),
        *memory_goals(result["memory"]),
        share_goal(result["share"]),
        *quality_goals(result["quality"]),
    ]
    keep("runtime", {**result, "goals": [goal.as_dict() for goal in goals]}, trial=trial, last=False)
    for name in ("decoded, 1 thread", "decoded, 2 threads", "files, 2 threads"):
        if "missing" not in result[name]:
            print_rates(name, result[name]["images_per_second"])
    print_goals(goals)


if __name__ == "__main__":
    main()
