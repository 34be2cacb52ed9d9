"""The soonest of many moments that come and go."""

from __future__ import annotations

import heapq
import math


class Soonest:
    """Numbered moments; the soonest of those that are still there is known at once.

    A heap from which entries are not taken out but forgotten: it is built anew when most of it is forgotten,
    so that moments that lie far ahead do not pile up. Adding and removing cost O(log n) on average.
    """

    def __init__(self) -> None:
        self._moments: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._moments)

    @property
    def moment(self) -> float:
        """The soonest moment; infinity where there is none."""
        heap = self._heap
        while heap and heap[0][1] not in self._moments:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def add(self, number: int, moment: float) -> None:
        """Remember a moment under a number that was never used before."""
        self._moments[number] = moment
        heapq.heappush(self._heap, (moment, number))
        if len(self._heap) > 2 * len(self._moments) + 16:
            self._heap = [(kept, key) for key, kept in self._moments.items()]
            heapq.heapify(self._heap)

    def remove(self, number: int) -> None:
        """Forget a moment, if it is there."""
        self._moments.pop(number, None)

    def pop_until(self, now: float) -> list[int]:
        """Forget the moments that have come, ``now`` included, and give their numbers, soonest first."""
        come = []
        while self._moments and self.moment <= now:
            number = heapq.heappop(self._heap)[1]
            del self._moments[number]
            come.append(number)
        return come
