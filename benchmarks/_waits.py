"""One image at a time, the first image of a process, and the memory of a long stream."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from _crops import Image, decoded, jpeg_files
from _ours import kinds
from _record import ROOT, spread
from _turns import FEWEST, Goal

CALLS_OF_A_TURN, WARM_UP, TURNS = 200, 10, 40
MEDIAN, WORST = 0.4, 1.0
FIRST = 0.5
MEMORY, GROWTH = 200.0, 5.0
"""Megabytes; the second between the halves of a stream, see `growth`."""
PROGRAM = """
from pathlib import Path
from stn_deploy.runtime import Rectifier
result = Rectifier()(Path({picture!r}))
import sys, time
print(time.perf_counter(), result.applied, "torch" in sys.modules)
"""
PICTURE = ROOT / "samples" / "arch.jpg"


def one_image(archive: Path, *, seconds: float) -> dict[str, Any]:
    """Milliseconds of a call with one decoded crop, over crops that are all different."""
    crops = decoded(archive, 2048)
    candidates = kinds()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    started = perf_counter()
    for number in range(TURNS):
        if number >= FEWEST and perf_counter() - started >= seconds:
            break
        start = number * CALLS_OF_A_TURN
        chosen = [crops[(start + index) % len(crops)] for index in range(CALLS_OF_A_TURN)]
        for name, rectifier in candidates.items():
            times[name] += milliseconds(rectifier, chosen)
    return {
        name: {
            "calls": len(each),
            **{f"p{q}": float(np.percentile(each, q)) for q in (50, 90, 99)},
            "worst": max(each),
        }
        for name, each in times.items()
    }


def milliseconds(straighten: Any, crops: Sequence[Image]) -> list[float]:
    """Of each call; some before them bring back to the caches what others drove out."""
    for crop in crops[-WARM_UP:]:
        straighten(crop)
    times = []
    for crop in crops:
        started = perf_counter()
        straighten(crop)
        times.append(1e3 * (perf_counter() - started))
    return times


def first_result(*, repeats: int) -> dict[str, Any]:
    """Seconds from the start of Python to the first straightened file; processes that follow one another."""
    seconds, torch_loaded = [], False
    program = PROGRAM.format(picture=str(PICTURE))
    for _ in range(repeats + 1):
        started = perf_counter()
        printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        finished, applied, torch_here = printed.stdout.split()
        assert applied == "True", f"{PICTURE.name} was not straightened"
        seconds.append(float(finished) - started)  # both count from the start of the machine
        torch_loaded |= torch_here == "True"
    return {**spread(seconds[1:]), "torch_loaded": torch_loaded}


def memory(archive: Path, folder: Path, *, count: int) -> dict[str, Any]:
    """Megabytes of a process through which a long stream goes: of decoded crops, and of JPEG files."""
    crops = decoded(archive, 512)
    files = [np.frombuffer(data, np.uint8) for data in jpeg_files(folder)]
    result: dict[str, Any] = {"images": count}
    with TemporaryDirectory() as temporary:
        for kind, images in (("arrays", crops), ("files", files)):
            path = Path(temporary, f"{kind}.npz")
            np.savez(path, *images)
            command = [
                sys.executable,
                str(Path(__file__).with_name("_stream.py")),
                kind,
                str(path),
                str(count),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            result[kind] = {**found, "growth": growth(found["megabytes"], count)}
    return result


def growth(held: dict[str, float], count: int) -> float:
    """Megabytes by which the later half of a stream holds more than the earlier, the first tenth left out.

    Medians: what is in flight at one moment is more or less than at another.
    """
    marks = [value for number, value in held.items() if int(number) >= count // 10]
    half = len(marks) // 2
    return round(median(marks[half:]) - median(marks[:half]), 1)


def one_image_goals(result: dict[str, Any]) -> list[Goal]:
    """Of the rectifier as it is shipped, in the faster precision."""
    shipped = {name: times for name, times in result.items() if "gated" in name}
    best = min(shipped, key=lambda name: shipped[name]["p50"])
    limits = (("p50", "median", MEDIAN), ("p99", "99 % of all calls", WORST))
    return [
        Goal(
            work=f"one image, warm: {what}",
            goal=f"under {limit} ms",
            found=f"{shipped[best][key]:.2f} ms",
            reached=shipped[best][key] < limit,
            remark=best,
        )
        for key, what, limit in limits
    ]


def first_result_goal(result: dict[str, Any]) -> Goal:
    return Goal(
        work="first result after process start, import included",
        goal=f"under {FIRST} s",
        found=f"{result['median']:.2f} s",
        reached=result["median"] < FIRST,
        remark="with torch" if result["torch_loaded"] else "without torch",
    )


def memory_goals(result: dict[str, Any]) -> list[Goal]:
    names = {"arrays": "decoded crops", "files": "JPEG files through the pipeline"}
    return [
        Goal(
            work=f"memory for a stream of {result['images']:,} {names[kind]}",
            goal=f"flat (within {GROWTH:.0f} MB), under {MEMORY:.0f} MB",
            found=f"{result[kind]['peak']:.0f} MB at the peak",
            reached=result[kind]["peak"] < MEMORY and result[kind]["growth"] <= GROWTH,
            remark=f"{result[kind]['growth']:+.1f} MB from one half to the other",
        )
        for kind in names
    ]
