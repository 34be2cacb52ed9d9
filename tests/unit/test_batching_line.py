"""Which item goes when: the rules of the line, without a thread and without a clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime import BatchLimits
from stn_deploy.runtime.batching.line import Line
from stn_deploy.runtime.batching.soonest import Soonest

LIMITS = BatchLimits(max_batch=3, max_delay=10, max_waiting=5)


def line_of(*items: str, now: float = 0.0, limits: BatchLimits = LIMITS) -> Line[str]:
    line = Line[str](limits)
    for item in items:
        assert line.offer(item, now)
    return line


def test_an_empty_line_has_nothing_to_wait_for() -> None:
    line = line_of()
    assert (len(line), line.full, line.wait_until(), line.next_deadline()) == (0, False, math.inf, math.inf)
    assert line.next_batch(1e9) == ([], [])
    assert line.expire(1e9) == []
    assert line.clear() == []


def test_a_batch_goes_when_its_first_item_has_waited_for_the_delay() -> None:
    line = line_of("a", now=5)
    assert line.offer("b", 14)
    assert line.wait_until() == 15
    assert line.next_batch(14.99) == ([], [])
    assert line.next_batch(15) == (["a", "b"], [])
    assert line.wait_until() == math.inf


def test_a_full_batch_goes_at_once_and_leaves_the_rest_in_its_order() -> None:
    line = line_of("a", "b", "c", "d", now=5)
    assert line.wait_until() == -math.inf
    assert line.next_batch(5) == (["a", "b", "c"], [])
    assert line.wait_until() == 15
    assert line.next_batch(5) == ([], [])
    assert line.next_batch(15) == (["d"], [])


def test_without_a_delay_every_item_goes_at_once() -> None:
    line = line_of("a", now=5, limits=BatchLimits(max_batch=3, max_delay=0))
    assert line.wait_until() == 5
    assert line.next_batch(5) == (["a"], [])


def test_a_full_line_takes_no_more_until_an_item_leaves_it() -> None:
    line = line_of(*"abcde")
    assert line.full
    assert not line.offer("f", 0)
    assert line.drop("b")
    assert line.offer("f", 0)
    assert line.next_batch(0) == (["a", "c", "d"], [])
    assert line.offer("g", 0)
    assert line.clear() == ["e", "f", "g"]


def test_an_item_can_be_dropped_once_and_a_stranger_never() -> None:
    line = line_of("a", "b")
    assert line.drop("a")
    assert not line.drop("a")
    assert not line.drop("z")
    assert line.next_batch(10) == (["b"], [])
    assert not line.drop("b")


def test_a_dropped_item_makes_nobody_hurry() -> None:
    line = line_of("a", now=0)
    line.offer("b", 4, 6)
    assert line.wait_until() == 5
    assert line.next_deadline() == 6
    line.drop("b")
    assert (line.wait_until(), line.next_deadline()) == (10, math.inf)
    line.drop("a")
    assert line.wait_until() == math.inf


def test_a_dropped_item_may_come_again_at_the_end() -> None:
    line = line_of("a", "b")
    line.drop("a")
    line.offer("a", 0)
    assert line.next_batch(10) == (["b", "a"], [])


def test_an_item_is_late_from_the_very_moment_of_its_deadline_on() -> None:
    for now, expected in [(7.99, (["a"], [])), (8, ([], ["a"])), (9, ([], ["a"]))]:
        line = line_of()
        line.offer("a", 0, 8)
        line.hurry()
        assert line.next_batch(now) == expected


def test_waiting_for_company_takes_at_most_half_of_the_time_until_the_deadline() -> None:
    line = line_of("a", now=0)
    line.offer("b", 1, 5)
    assert line.wait_until() == 3
    assert line.next_batch(3) == (["a", "b"], [])
    line.offer("c", 3, 1000)
    assert line.wait_until() == 13


def test_late_items_leave_a_batch_that_others_fill() -> None:
    line = line_of()
    for item, deadline in [("a", 8), ("b", math.inf), ("c", 7), ("d", 20), ("e", 90)]:
        line.offer(item, 0, deadline)
    assert line.next_deadline() == 7
    assert line.next_batch(8) == (["b", "d", "e"], ["c", "a"])


def test_late_items_leave_where_no_batch_is_due() -> None:
    line = Line[str](BatchLimits(max_batch=3, max_delay=4))
    line.offer("a", 0, 5)
    line.offer("b", 4, math.inf)
    line.offer("c", 4, 6)
    line.drop("a")
    assert line.expire(6) == ["c"]
    assert line.next_batch(6) == ([], [])
    assert line.next_batch(8) == (["b"], [])


def test_whoever_hurries_waits_for_no_company() -> None:
    line = line_of("a", "b", "c", "d")
    line.hurry()
    assert line.next_batch(0) == (["a", "b", "c"], [])
    assert line.wait_until() == -math.inf
    assert line.next_batch(0) == (["d"], [])
    assert line.wait_until() == math.inf


def test_deadlines_that_lie_far_ahead_do_not_pile_up() -> None:
    soonest = Soonest()
    for number in range(10_000):
        soonest.add(number, 1e9 - number)
        if number >= 5:
            soonest.remove(number - 5)
    assert len(soonest) == 5
    assert len(soonest._heap) <= 2 * 6 + 16
    assert soonest.moment == 1e9 - 9_999
    assert soonest.pop_until(1e9) == [9_999, 9_998, 9_997, 9_996, 9_995]
    assert soonest.moment == math.inf


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 30)), max_size=12), st.floats(0, 20))
def test_with_an_idle_worker_no_item_misses_a_deadline_that_lies_ahead(
    arrivals: list[tuple[float, float]], delay: float
) -> None:
    line = Line[int](BatchLimits(max_batch=4, max_delay=delay, max_waiting=12))
    arrivals.sort()
    done: list[int] = []

    def work(now: float, until: float) -> None:
        while (due := line.wait_until()) <= until:
            now = max(now, due)
            batch, expired = line.next_batch(now)
            assert expired == []
            assert batch
            done.extend(batch)

    now = 0.0
    for number, (moment, allowed) in enumerate(arrivals):
        work(now, moment)
        now = moment
        assert line.offer(number, now, now + allowed + 1e-3)
    work(now, 1e6)
    assert line.next_batch(math.inf) == ([], [])
    assert done == list(range(len(arrivals)))


@dataclass
class PlainLine:
    """The same rules, said as plainly as can be, over a list."""

    limits: BatchLimits
    waiting: list[tuple[int, float, float]] = field(default_factory=list)  # item, due, deadline
    hurried: bool = False

    def offer(self, item: int, now: float, deadline: float) -> bool:
        if len(self.waiting) >= self.limits.max_waiting:
            return False
        self.waiting.append(
            (item, min(now + self.limits.max_delay, now + max(deadline - now, 0) / 2), deadline)
        )
        return True

    def wait_until(self) -> float:
        if self.waiting and (self.hurried or len(self.waiting) >= self.limits.max_batch):
            return -math.inf
        return min((due for _, due, _ in self.waiting), default=math.inf)

    def expire(self, now: float) -> list[int]:
        late = sorted((each for each in self.waiting if each[2] <= now), key=lambda each: each[2])
        self.waiting = [each for each in self.waiting if each[2] > now]
        return [item for item, _, _ in late]

    def next_batch(self, now: float) -> tuple[list[int], list[int]]:
        expired = self.expire(now)
        count = self.limits.max_batch if self.wait_until() <= now else 0
        batch, self.waiting = self.waiting[:count], self.waiting[count:]
        return [item for item, _, _ in batch], expired


class LineAgainstPlainLine(RuleBasedStateMachine):
    """Any sequence of calls gives what the plain list gives; in eighths of seconds nothing is rounded."""

    def __init__(self) -> None:
        super().__init__()
        limits = BatchLimits(max_batch=3, max_delay=1.5, max_waiting=7)
        self.line, self.plain = Line[int](limits), PlainLine(limits)
        self.now, self.offered = 0.0, 0

    @rule(eighths=st.integers(0, 16))
    def time_passes(self, eighths: int) -> None:
        self.now += eighths / 8

    @rule(eighths=st.none() | st.integers(-2, 40))
    def one_comes(self, eighths: int | None) -> None:
        deadline = math.inf if eighths is None else self.now + eighths / 8
        self.offered += 1
        assert self.line.offer(self.offered, self.now, deadline) == self.plain.offer(
            self.offered, self.now, deadline
        )

    @precondition(lambda self: self.offered)
    @rule(data=st.data())
    def one_goes(self, data: st.DataObject) -> None:
        item = data.draw(st.integers(max(1, self.offered - 9), self.offered))
        there = [each for each in self.plain.waiting if each[0] == item]
        self.plain.waiting = [each for each in self.plain.waiting if each[0] != item]
        assert self.line.drop(item) == bool(there)

    @rule()
    def a_worker_comes(self) -> None:
        assert self.line.next_batch(self.now) == self.plain.next_batch(self.now)

    @rule()
    def the_watch_comes(self) -> None:
        assert self.line.expire(self.now) == self.plain.expire(self.now)

    @rule()
    def time_passes_until_a_batch_is_due(self) -> None:
        if self.line.wait_until() < math.inf:
            self.now = max(self.now, self.line.wait_until())

    @precondition(lambda self: self.offered > 15)
    @rule()
    def all_hurry(self) -> None:
        self.line.hurry()
        self.plain.hurried = True

    @invariant()
    def both_tell_the_same(self) -> None:
        deadlines = [deadline for _, _, deadline in self.plain.waiting]
        assert len(self.line) == len(self.plain.waiting) <= 7
        assert self.line.full == (len(self.plain.waiting) == 7)
        assert self.line.wait_until() == self.plain.wait_until()
        assert self.line.next_deadline() == min(deadlines, default=math.inf)

    def teardown(self) -> None:
        assert self.line.clear() == [item for item, _, _ in self.plain.waiting]
        assert len(self.line) == 0


LineAgainstPlainLine.TestCase.settings = settings(deadline=None, max_examples=80, stateful_step_count=40)
TestLineAgainstPlainLine = LineAgainstPlainLine.TestCase


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_batch": 0}, "max_batch: expected a whole number from 1, got 0"),
        ({"max_batch": 2.0}, "max_batch: expected a whole number from 1, got 2.0"),
        ({"max_batch": True}, "max_batch: expected"),
        ({"max_delay": -0.1}, "max_delay: expected seconds, 0 or more, got -0.1"),
        ({"max_delay": math.inf}, "max_delay: expected seconds"),
        ({"max_delay": math.nan}, "max_delay: expected seconds"),
        ({"max_delay": "1"}, "max_delay: expected seconds"),
        ({"max_waiting": 31}, r"max_waiting: expected a whole number from 32 \(max_batch\)"),
        ({"max_waiting": None}, "max_waiting: expected"),
    ],
)
def test_limits_out_of_range_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        BatchLimits(**limits)
