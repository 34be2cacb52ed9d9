"""One bad item never spoils its batch, whatever the handler does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stn_deploy.errors import BatchError
from stn_deploy.runtime.batching.isolation import each_result


class Halving:
    """Halves numbers; raises where an odd one is among them. Keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, numbers: list[int]) -> list[int]:
        self.calls.append(list(numbers))
        odd = [number for number in numbers if number % 2]
        numbers.clear()  # its list is its own
        if odd:
            raise ValueError(f"{odd[0]} is odd")
        return [number // 2 for number in self.calls[-1]]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=70))
def test_each_item_gets_what_it_would_get_alone(numbers: list[int]) -> None:
    outcomes = each_result(Halving(), numbers)
    for number, outcome in zip(numbers, outcomes, strict=True):
        if number % 2:
            assert isinstance(outcome, ValueError)
            assert str(outcome) == f"{number} is odd"
        else:
            assert outcome == number // 2


def test_a_good_batch_is_one_call() -> None:
    handler = Halving()
    assert each_result(handler, list(range(0, 128, 2))) == list(range(64))
    assert len(handler.calls) == 1


@pytest.mark.parametrize("place", [0, 31, 63])
def test_one_bad_item_of_64_costs_two_calls_for_each_halving(place: int) -> None:
    handler = Halving()
    each_result(handler, [2 * index + (index == place) for index in range(64)])
    assert len(handler.calls) == 1 + 2 * math.log2(64)


def test_a_batch_too_large_for_the_memory_becomes_smaller() -> None:
    calls = []

    def handler(items: list[int]) -> list[int]:
        if len(items) > 10:
            raise MemoryError
        calls.append(len(items))
        return items

    assert each_result(handler, range(37)) == list(range(37))
    assert sum(calls) == 37


def test_exceptions_that_a_handler_returns_are_those_of_their_items() -> None:
    wrong = ValueError("wrong")
    calls = []

    def handler(items: list[int]) -> Iterator[int | Exception]:
        calls.append(items)
        return (wrong if item == 1 else item for item in items)

    assert each_result(handler, [0, 1, 2]) == [0, wrong, 2]
    assert len(calls) == 1


def test_a_handler_that_raises_while_its_answer_is_read_is_asked_again() -> None:
    def handler(items: list[int]) -> Iterator[float]:
        for item in items:
            yield 1 / item

    first, second, third = each_result(handler, [1, 0, 4])
    assert (first, third) == (1, 0.25)
    assert isinstance(second, ZeroDivisionError)


@pytest.mark.parametrize(
    ("answer", "got"),
    [(None, "NoneType"), (7, "int"), ([1, 2], "2 results"), ([1, 2, 3, 4], "4 results"), ([], "0 results")],
)
def test_a_handler_that_breaks_its_promise_is_named_to_each_item(answer: Any, got: str) -> None:
    calls = []

    def handler(items: list[int]) -> Any:
        calls.append(items)
        return answer

    outcomes = each_result(handler, [5, 6, 7])
    assert [type(outcome) for outcome in outcomes] == [BatchError] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3
    assert str(outcomes[1]) == f"handler: expected a list of 3 results, one for each item, got {got}"
    assert len(calls) == 1


@pytest.mark.parametrize(
    "ending", [SystemExit(3), KeyboardInterrupt()], ids=["SystemExit", "KeyboardInterrupt"]
)
def test_what_is_no_error_is_not_tried_again(ending: BaseException) -> None:
    calls = []

    def handler(items: list[int]) -> list[int]:
        calls.append(items)
        raise ending

    assert each_result(handler, [1, 2, 3]) == [ending] * 3
    assert len(calls) == 1
