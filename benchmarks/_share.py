"""What rectification adds to the time that PP-OCRv6 needs to read the same crops."""

from __future__ import annotations

from functools import partial
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import Any

import cv2
from _crops import decoded
from _ours import kinds
from _turns import Batches, Goal, one_by_one, rates, times_as_fast, turn

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.ocr import open_reader, read_many

CROPS, BATCH = 512, 32
LIMIT = 0.02
RECOGNISER = "recogniser"


def share_of_recognition(archive: Path, *, seconds: float) -> dict[str, Any]:
    """Time of the rectifier over that of the recogniser on raw crops: lists of 32, one thread each."""
    try:
        reader = open_reader("rapidocr", threads=1)
    except MissingDependency as error:
        return {"missing": str(error)}
    cv2.setNumThreads(1)
    crops = decoded(archive, CROPS)
    batches = [crops[start : start + BATCH] for start in range(0, len(crops) - BATCH + 1, BATCH)]

    works = {RECOGNISER: turn(one_by_one(lambda batch: read_many(reader, batch)), batches, 1)}
    for name, rectifier in kinds().items():
        if "gated" in name:
            works[f"{name}, lists of {BATCH}"] = turn(one_by_one(rectifier), batches, 4)
            works[f"{name}, one at a time"] = turn(partial(each_alone, rectifier), batches, 4)
    found = rates(works, seconds)
    return {
        "recogniser": reader.name,
        "milliseconds_per_crop": {name: 1e3 / median(values) for name, values in found.items()},
        "share_of_recognition": {
            name: times_as_fast(found, RECOGNISER, name) for name in islice(found, 1, None)
        },
    }


def each_alone(rectifier: Rectifier, batches: Batches) -> None:
    for crop in chain.from_iterable(batches):
        rectifier(crop)


def share_goal(result: dict[str, Any]) -> Goal:
    """Of the rectifier as it is shipped, in the faster precision, in lists."""
    work, goal = "time added to PP-OCRv6 recognition, 1 thread", f"under {LIMIT:.0%}"
    if "missing" in result:
        return Goal(work=work, goal=goal, found=None, reached=None, remark=result["missing"])
    shares = result["share_of_recognition"]
    best = min((name for name in shares if "lists" in name), key=lambda name: shares[name]["median"])
    found = shares[best]["median"]
    times = result["milliseconds_per_crop"]
    return Goal(
        work=work,
        goal=goal,
        found=f"{found:.1%}",
        reached=found < LIMIT,
        remark=f"{best}: {times[best]:.3f} ms; {result['recogniser']}: {times[RECOGNISER]:.1f} ms a crop",
    )
