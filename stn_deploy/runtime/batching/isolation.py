"""One bad item never spoils its batch: a handler that raises is asked again for the halves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from stn_deploy.errors import BatchError

Item = TypeVar("Item")
Result = TypeVar("Result")

Handler = Callable[[list[Item]], Iterable[Result | BaseException]]
"""Items in; for each, in their order, a result or the exception that its future shall raise."""


def each_result(handler: Handler[Item, Result], items: Sequence[Item]) -> list[Result | BaseException]:
    """What became of each item.

    A handler that raises is called again with each half of the items, down to the one item that it cannot
    compute: of n items one bad one costs about 2 log2(n) calls more, and a batch that is too large for the
    memory becomes smaller. Where a second call would do harm, the handler returns exceptions and raises none.
    What is no `Exception` (SystemExit, KeyboardInterrupt) is not tried again: all items get it.

    Args:
        handler: gets a list of its own. items: at least one.
    Returns:
        for each item a result or an exception. A handler that breaks its promise gives `BatchError` for all.
    """
    outcomes: list[Result | BaseException] = []
    parts = [list(items)]
    while parts:
        part = parts.pop()
        outcome = _attempt(handler, part)
        if isinstance(outcome, Exception) and len(part) > 1:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
        elif isinstance(outcome, BaseException):
            outcomes += [outcome for _ in part]
        else:
            outcomes += outcome
    try:
        return outcomes
    finally:  # an exception keeps this frame: it shall not lead to the other items and their results
        del items, outcomes, outcome, part


def _attempt(
    handler: Handler[Item, Result], items: list[Item]
) -> list[Result | BaseException] | BaseException:
    """The outcomes of one call, or what it raised."""
    try:
        answer: Any = handler(list(items))
        results = list(answer) if isinstance(answer, Iterable) else None
    except BaseException as error:  # noqa: BLE001, the futures raise it
        return error
    if results is not None and len(results) == len(items):
        return results
    got = type(answer).__name__ if results is None else f"{len(results)} results"
    message = f"handler: expected a list of {len(items)} results, one for each item, got {got}"
    return [BatchError(message) for _ in items]
