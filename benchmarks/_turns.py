"""Candidates take turns, so that a busy machine slows all of them alike; goals, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from _record import spread
from rich.console import Console
from rich.table import Table

FEWEST, MOST = 3, 60
"""Rounds."""
Batches = Sequence[Sequence[Any]]
Work = Callable[[int], float]
"""Does the images of one turn, whose number it is given, and says how many it did a second."""


def rates(
    works: Mapping[str, Work], seconds: float, *, clock: Callable[[], float] = perf_counter
) -> dict[str, list[float]]:
    """Images a second of each, round by round; each has had one turn that does not count.

    Rounds begin until so many seconds have passed: at least `FEWEST`, at most `MOST`.
    """
    for work in works.values():
        work(-1)
    found: dict[str, list[float]] = {name: [] for name in works}
    end = clock() + seconds
    for number in range(MOST):
        if number >= FEWEST and clock() >= end:
            break
        for name, work in works.items():
            found[name].append(work(number))
    return found


def turn(straighten: Callable[[Batches], Any], batches: Batches, count: int) -> Work:
    """A turn of ``count`` batches, other ones each time.

    One more goes before them and does not count: it brings back to the caches what others drove out.
    """

    def work(number: int) -> float:
        first, *chosen = (batches[(number * count + index) % len(batches)] for index in range(-1, count))
        straighten([first])
        started = perf_counter()
        straighten(chosen)
        return sum(map(len, chosen)) / (perf_counter() - started)

    return work


def one_by_one(straighten: Callable[[Any], Any]) -> Callable[[Batches], None]:
    """A batch after the other."""

    def work(batches: Batches) -> None:
        for batch in batches:
            straighten(batch)

    return work


def spreads(values: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    return {name: spread(each) for name, each in values.items()}


def times_as_fast(found: Mapping[str, list[float]], ours: str, rival: str) -> dict[str, float]:
    """How many times as fast one is as another: ratios within a round."""
    return spread([a / b for a, b in zip(found[ours], found[rival], strict=True)])


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One line of the table of goals.

    found: None where it could not be measured here; then ``remark`` says why.
    """

    work: str
    goal: str
    found: str | None
    reached: bool | None
    remark: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def print_rates(title: str, found: Mapping[str, Mapping[str, float]]) -> None:
    table = Table(title=title)
    table.add_column("candidate")
    for name in ("images/s", "10th percentile", "90th percentile"):
        table.add_column(name, justify="right")
    for name, each in found.items():
        table.add_row(name, *(f"{each[key]:,.0f}" for key in ("median", "p10", "p90")))
    Console().print(table)


def print_goals(goals: list[Goal]) -> None:
    table = Table(show_lines=True)
    for name in ("work", "measured", "goal", "", "remark"):
        table.add_column(name, no_wrap=not name)
    for goal in goals:
        verdict = {True: "[green]reached", False: "[red]missed", None: "[yellow]not measured"}[goal.reached]
        table.add_row(goal.work, goal.found or "-", goal.goal, verdict, goal.remark)
    Console().print(table)
