"""Rates and waiting times of candidates that do the same work, side by side on this machine.

They take turns, so that a machine that is busy for a while slows all of them alike. Which they are is said in
`stn_deploy.runtime.bench_engines`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError, StnDeployError

Image = NDArray[np.uint8]
Straighten = Callable[[Sequence[Image]], object]

ROUNDS = 10
FEWEST_CALLS = 3
"""Single images of a turn, however slow the candidate is."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to straighten images.

    name: for the table. makes: what comes out, such as 32x100. threads: of the CPU; None on a GPU.
    straighten: does a list of images. close: gives back what it holds.
    """

    name: str
    makes: str
    threads: int | None
    straighten: Straighten
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A candidate that cannot run here. why: a sentence for the user."""

    name: str
    why: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one candidate.

    name, makes, threads: as of `Candidate`. images_per_second: in batches; median, 10th and 90th percentile
    of the rounds. milliseconds: of a call with a single image; median, 90th and 99th percentile. calls: of
    these.
    """

    name: str
    makes: str
    threads: int | None
    images_per_second: dict[str, float]
    milliseconds: dict[str, float]
    calls: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(kw_only=True)
class _Runner:
    """A candidate, where in the images it is, and its times so far, seconds."""

    candidate: Candidate
    images: Sequence[Image]
    batch: int
    clock: Callable[[], float]
    rates: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    place: int = 0

    def take(self, count: int) -> list[Image]:
        """The next images, from the first on again after the last."""
        chosen = [self.images[(self.place + index) % len(self.images)] for index in range(count)]
        self.place = (self.place + count) % len(self.images)
        return chosen

    def do_batches(self, seconds: float, *, counts: bool = True) -> None:
        """One batch that does not count, for others had the caches; then at least one, until time is up."""
        self.candidate.straighten(self.take(self.batch))
        started, images = self.clock(), 0
        while True:
            self.candidate.straighten(self.take(self.batch))
            images += self.batch
            elapsed = self.clock() - started
            if elapsed >= seconds:
                break
        if counts:
            self.rates.append(images / elapsed if elapsed > 0 else float("inf"))

    def do_single_images(self, seconds: float) -> None:
        """The same, one image at a time."""
        self.candidate.straighten(self.take(1))
        end, calls = self.clock() + seconds, 0
        while True:
            chosen = self.take(1)
            started = self.clock()
            self.candidate.straighten(chosen)
            finished = self.clock()
            self.waits.append(finished - started)
            calls += 1
            if calls >= FEWEST_CALLS and finished >= end:
                break

    def result(self) -> Measured:
        low, middle, high = np.percentile(self.rates, (10, 50, 90)).tolist()
        waits = dict(zip(("median", "p90", "p99"), np.percentile(self.waits, (50, 90, 99)), strict=True))
        return Measured(
            name=self.candidate.name,
            makes=self.candidate.makes,
            threads=self.candidate.threads,
            images_per_second={"median": middle, "p10": low, "p90": high},
            milliseconds={name: 1e3 * float(value) for name, value in waits.items()},
            calls=len(self.waits),
        )


def measure(
    candidates: Sequence[Candidate],
    images: Sequence[Image],
    *,
    batch: int = 64,
    seconds: float = 2.0,
    clock: Callable[[], float] = perf_counter,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Measured | Absent]:
    """Rates and waiting times of candidates, which take turns in ten rounds.

    Args:
        candidates: at least one; they are closed at the end.
        images: each (h, w, 3) uint8 BGR, at least one; from the first on again where they do not suffice.
        batch: images of one call, where they are counted by the second; at least 1.
        seconds: for each candidate, half of it for batches and half for single images; a slow one takes more.
        clock: seconds.
        progress: called with a candidate's name before each of its turns.
    Returns:
        in the order of the candidates; one that fails is `Absent`, and says how.
    Raises:
        ArgumentError: no image, no candidate, or a number out of its range.
    """
    if not len(images) or not candidates:
        raise ArgumentError("measure: expected at least one image and one candidate")
    if batch < 1 or not seconds > 0:
        raise ArgumentError(
            f"measure: expected a batch of at least 1 and some seconds, got {batch}, {seconds}"
        )
    runners = [_Runner(candidate=each, images=images, batch=batch, clock=clock) for each in candidates]
    failed: dict[int, Absent] = {}
    try:
        for number, do_turn in _turns(seconds):
            for index, runner in enumerate(runners):
                if index in failed:
                    continue
                progress(runner.candidate.name)
                try:
                    do_turn(runner)
                except StnDeployError as error:
                    failed[index] = Absent(
                        name=runner.candidate.name, why=f"failed in round {number}: {error}"
                    )
    finally:
        for candidate in candidates:
            candidate.close()
    return [failed.get(index) or runner.result() for index, runner in enumerate(runners)]


def turns_of(candidates: int) -> int:
    """How often ``progress`` of `measure` is called."""
    return (ROUNDS + 1) * candidates


def circumstances() -> dict[str, Any]:
    """The machine and the versions that a measurement belongs to, for JSON."""
    versions = {}
    for name in ("numpy", "opencv-python", "onnxruntime", "onnxruntime-gpu", "tensorrt"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    machine = {
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    return {"machine": machine, "versions": versions}


def _turns(seconds: float) -> Iterator[tuple[int, Callable[[_Runner], None]]]:
    """A round in which everything is loaded and nothing counts, and those that count."""

    def warm_up(runner: _Runner) -> None:
        runner.do_batches(0.0, counts=False)

    def turn(runner: _Runner) -> None:
        runner.do_batches(seconds / (2 * ROUNDS))
        runner.do_single_images(seconds / (2 * ROUNDS))

    yield 0, warm_up
    for number in range(1, ROUNDS + 1):
        yield number, turn
