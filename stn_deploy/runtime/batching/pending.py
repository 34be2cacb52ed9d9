"""The future of one item."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import Future
from typing import Generic, TypeVar

from stn_deploy.errors import ClosedError, DeadlineError

Item = TypeVar("Item")
Result = TypeVar("Result")

_logger = logging.getLogger(__name__)


class Pending(Future[Result], Generic[Item, Result]):
    """A future that carries its item until that is taken up or not needed any more.

    arrived, deadline: moments of ``time.monotonic()``.

    It belongs to the process that made it: in a fork, where nobody will ever finish it, asking for its result
    raises `ClosedError` instead of waiting for ever.
    """

    def __init__(self, item: Item, deadline: float) -> None:
        super().__init__()
        self._item: list[Item] = [item]
        self._process = os.getpid()
        self.arrived, self.deadline = time.monotonic(), deadline

    def claim(self) -> bool:
        """From now on it cannot be cancelled; False where it was before, or was finished by a stranger.

        Called once. Those who wait for futures are told of the cancellation.
        """
        try:
            return self.set_running_or_notify_cancel()
        except RuntimeError:  # finished from outside, which the standard library has logged
            return False

    def hand_over(self) -> Item:
        """The item, which is not kept any longer: whoever keeps the future does not keep the item."""
        return self._item.pop()

    def settle(self, outcome: Result | BaseException) -> None:
        """Finish it. What its callbacks raise is logged and goes no further."""
        self._item.clear()
        try:
            if isinstance(outcome, BaseException):
                self.set_exception(outcome)
            else:
                self.set_result(outcome)
        except BaseException:  # a callback that ends the thread, or a stranger that had finished the future
            _logger.exception("%s: a callback raised what is no Exception, or it was finished already", self)

    def settle_late(self) -> None:
        """Finish it with `DeadlineError`."""
        late = time.monotonic() - self.deadline
        message = (
            f"item: expected to be taken up before its deadline, which passed {late:.3g} s ago; not computed "
            "(a deadline is a moment, such as time.monotonic() + 0.5)"
        )
        self.settle(DeadlineError(message))

    def result(self, timeout: float | None = None) -> Result:
        """As in the standard library."""
        self._check_process()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As in the standard library."""
        self._check_process()
        return super().exception(timeout)

    def _check_process(self) -> None:
        if os.getpid() != self._process and not self.done():
            raise ClosedError(
                f"future: expected to be asked in process {self._process}, which computes it, got process "
                f"{os.getpid()}, a fork of it; ask there, or submit after the fork"
            )
