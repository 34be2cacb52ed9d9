"""Who waits, and which batch goes when. Pure: no thread, no lock, no clock; the time is an argument."""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import count, islice
from typing import Generic, TypeVar

from stn_deploy.runtime.batching.limits import BatchLimits
from stn_deploy.runtime.batching.soonest import Soonest

Item = TypeVar("Item", bound=Hashable)


class Line(Generic[Item]):
    """A bounded line of items, served in batches in the order of their arrival.

    A batch is due when it is full, or when one of its items has waited for ``max_delay`` - or for half of the
    time that it had until its deadline, if that is less: waiting for company shall cost no item its result.
    An item whose deadline has come is never in a batch.

    Convention: moments are seconds of any one clock that does not go back. Items are told apart by ``==`` and
    may stand in the line once.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._numbers = count()
        self._waiting: dict[int, Item] = {}  # in the order of arrival
        self._number_of: dict[Item, int] = {}
        self._due, self._deadlines = Soonest(), Soonest()
        self._hurried = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether there is room for no more."""
        return len(self._waiting) >= self._limits.max_waiting

    def offer(self, item: Item, now: float, deadline: float = math.inf) -> bool:
        """Let an item join, and say whether there was room for it."""
        if self.full:
            return False
        number = next(self._numbers)
        self._waiting[number] = item
        self._number_of[item] = number
        self._due.add(number, now + min(self._limits.max_delay, max(deadline - now, 0) / 2))
        if deadline < math.inf:
            self._deadlines.add(number, deadline)
        return True

    def drop(self, item: Item) -> bool:
        """Take an item out, and say whether it stood in the line."""
        number = self._number_of.get(item)
        if number is None:
            return False
        self._take(number)
        return True

    def wait_until(self) -> float:
        """When `next_batch` has a batch: minus infinity for at once, infinity for an empty line."""
        if self._waiting and (self._hurried or len(self._waiting) >= self._limits.max_batch):
            return -math.inf
        return self._due.moment

    def next_deadline(self) -> float:
        """The moment from which `expire` has an item; infinity where none has a deadline."""
        return self._deadlines.moment

    def next_batch(self, now: float) -> tuple[list[Item], list[Item]]:
        """Take out a batch, where one is due, and before that what has expired.

        Returns:
            the batch, up to ``max_batch`` items or none, and the expired items.
        """
        expired = self.expire(now)
        if self.wait_until() > now:
            return [], expired
        first = list(islice(self._waiting, self._limits.max_batch))
        return [self._take(number) for number in first], expired

    def expire(self, now: float) -> list[Item]:
        """Take out the items whose deadline has come, the soonest first."""
        return [self._take(number) for number in self._deadlines.pop_until(now)]

    def hurry(self) -> None:
        """From now on nobody waits for company."""
        self._hurried = True

    def clear(self) -> list[Item]:
        """Take all items out, in the order of their arrival."""
        return [self._take(number) for number in list(self._waiting)]

    def _take(self, number: int) -> Item:
        item = self._waiting.pop(number)
        del self._number_of[item]
        self._due.remove(number)
        self._deadlines.remove(number)
        return item
