"""Decoded crops -> straightened crops, beside ASTER and TRBA; JPEG files -> straightened crops."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch
from _crops import decoded, jpeg_files
from _ours import kinds
from _recognisers import ARCHITECTURES, rivals
from _turns import Batches, Goal, Work, one_by_one, rates, spreads, times_as_fast, turn

from stn_deploy.runtime import Pipeline

N = 64
CROPS = 2048
OURS, THEIRS = 6, 1
"""Batches of one turn."""
GOALS = {"ASTER, torch eager": 15, "ASTER, ONNX Runtime": 7, "TRBA, torch eager": 60}
RATE, SHARE = 15_000, 0.75
DECODING = "cv2.imdecode alone"


def decoded_crops(archive: Path, *, threads: int, seconds: float) -> dict[str, Any]:
    """Rates on crops that are all different: no size of the last batch helps with the next."""
    cv2.setNumThreads(1)
    torch.set_num_threads(threads)
    crops = decoded(archive, CROPS)
    batches = [crops[start : start + N] for start in range(0, len(crops) - N + 1, N)]
    works: dict[str, Work] = {}
    for name, rectifier in kinds(threads=threads).items():
        works[name] = turn(one_by_one(rectifier), batches, OURS)
    if threads > 1:
        for name, rectifier in kinds().items():
            works[f"{name}, pipeline"] = turn(streamed(Pipeline(rectifier, workers=threads)), batches, OURS)
    for name, straighten in rivals(N, threads).items():
        works[name] = turn(one_by_one(straighten), batches, THEIRS)
    found = rates(works, seconds)
    ours = [name for name in found if name.startswith("stn-deploy")]
    others = [name for name in found if name not in ours]
    return {
        "images_per_second": spreads(found),
        "times_as_fast_as": {
            name: {rival: times_as_fast(found, name, rival) for rival in others} for name in ours
        },
        "n": N,
        "threads": threads,
        "crops": len(crops),
        "mean_crop_pixels": float(np.mean([crop.shape[0] * crop.shape[1] for crop in crops])),
    }


def streamed(pipeline: Pipeline) -> Callable[[Batches], None]:
    """All in one stream."""
    return lambda batches: exhaust(pipeline(chain.from_iterable(batches)))


def exhaust(results: Iterable[Any]) -> None:
    deque(results, maxlen=0)


def jpeg_crops(folder: Path, *, threads: int, seconds: float) -> dict[str, Any]:
    """JPEG files in memory -> straightened crops, beside reading their pixels and nothing else."""
    files = jpeg_files(folder)
    if not files:
        return {"missing": f"none of the test sets is in {folder}"}
    stream = files * -(-1024 // len(files))
    parts = [stream[start::threads] for start in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        works = {DECODING: _timed(lambda: exhaust(pool.map(_decode_all, parts)), len(stream))}
        for name, rectifier in kinds().items():
            pipeline = Pipeline(rectifier, workers=threads)
            works[name] = _timed(partial(_straighten_all, pipeline, stream), len(stream))
        found = rates(works, seconds)
    ours = [name for name in found if name != DECODING]
    return {
        "images_per_second": spreads(found),
        "share_of_decoding": {name: times_as_fast(found, name, DECODING) for name in ours},
        "files": len(files),
        "mean_bytes": float(np.mean([len(data) for data in files])),
        "threads": threads,
    }


def _timed(work: Callable[[], None], images: int) -> Work:
    def timed(_: int) -> float:
        started = perf_counter()
        work()
        return images / (perf_counter() - started)

    return timed


def _straighten_all(pipeline: Pipeline, stream: Sequence[bytes]) -> None:
    exhaust(pipeline(stream))


def _decode_all(files: Sequence[bytes]) -> None:
    for data in files:
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def decoded_goals(result: dict[str, Any]) -> list[Goal]:
    """Of 1 thread, all straightened to one size, which is what the others do; the faster precision counts."""
    own = [name for name in result["times_as_fast_as"] if "32x100" in name]
    best = max(own, key=lambda name: result["images_per_second"][name]["median"])
    rate = result["images_per_second"][best]["median"]
    goals = [
        Goal(
            work=f"decoded crops, N = {N}, 1 thread",
            goal=f"at least {RATE:,}/s",
            found=f"{rate:,.0f}/s",
            reached=rate >= RATE,
            remark=best,
        )
    ]
    for rival, wanted in GOALS.items():
        architecture, _, _ = rival.partition(",")
        assert architecture in ARCHITECTURES
        times = result["times_as_fast_as"][best][rival]["median"]
        other = result["images_per_second"][rival]["median"]
        last = f"{architecture}, torch eager, channels last"
        faster = result["times_as_fast_as"][best][last]["median"]
        remark = f"it does {other:,.0f}/s"
        if "torch" in rival:
            remark += f"; with its channels last in memory: {faster:.1f} times"
        goals.append(
            Goal(
                work=f"the same beside {rival}",
                goal=f"at least {wanted} times",
                found=f"{times:.1f} times",
                reached=times >= wanted,
                remark=remark,
            )
        )
    return goals


def jpeg_goal(result: dict[str, Any]) -> Goal:
    """Of the rectifier as it is shipped, in the faster precision."""
    work, goal = "JPEG files (120x400) in memory, 2 threads", f"at least {SHARE:.0%} of cv2.imdecode alone"
    if "missing" in result:
        return Goal(work=work, goal=goal, found=None, reached=None, remark=result["missing"])
    shares = {name: each["median"] for name, each in result["share_of_decoding"].items() if "gated" in name}
    best = max(shares, key=lambda name: shares[name])
    rates_ = result["images_per_second"]
    return Goal(
        work=work,
        goal=goal,
        found=f"{shares[best]:.0%}: {rates_[best]['median']:,.0f}/s",
        reached=shares[best] >= SHARE,
        remark=f"{best}; decoding alone: {rates_[DECODING]['median']:,.0f}/s",
    )
