"""Any function that reads a crop, as a reader: a recogniser of one's own, or one that has no adapter."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.ocr.reader import Reading

Answer: TypeAlias = "str | tuple[str, float] | Reading"
"""What a function may give for a crop."""

_NUMBER = (int, float, np.integer, np.floating)
_ROUNDING = 1e-3
"""A mean of float32 or float16 probabilities passes 1 by less."""


class CallableReader:
    """A function as a reader.

    A function that gives the text alone is taken to be sure of it, and not sure at all where it read nothing:
    of two readings, the second opinion then takes the second only where the first is empty.
    """

    def __init__(self, function: Callable[[NDArray[np.uint8]], Answer], *, name: str | None = None) -> None:
        """Wrap a function.

        Args:
            function: of a crop (h, w, 3) uint8 BGR; gives its text, the text and a confidence in [0, 1], or a
                `Reading`.
            name: of the engine, for tables; by default the function's own.
        Raises:
            ArgumentError: not a function.
        """
        if not callable(function):
            raise ArgumentError(f"function: expected a function of a crop, got {type(function).__name__}")
        self._function = function
        self.name = name or _name_of(function)

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`; what the function raises passes through.

        Raises:
            ArgumentError: the function gave something else than a reading.
        """
        answer: object = self._function(image)
        if isinstance(answer, str):
            text = answer.strip()
            return Reading(text, 1.0 if text else 0.0)
        # A list too: engines that answer from JSON have no tuples.
        if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not isinstance(answer[0], str):
            raise ArgumentError(
                f"{self.name}: expected a text, or a text and its confidence, got {_shortened(answer)}"
            )
        text, confidence = answer
        # NaN passes no comparison.
        if not isinstance(confidence, _NUMBER) or not -_ROUNDING <= confidence <= 1 + _ROUNDING:
            percent = isinstance(confidence, _NUMBER) and 1 < confidence <= 100
            hint = "; divide percents by 100" if percent else ""
            raise ArgumentError(
                f"{self.name}: expected a confidence from 0 to 1, got {_shortened(confidence)}{hint}"
            )
        return Reading(text.strip(), min(max(float(confidence), 0.0), 1.0))


def _name_of(function: Callable[..., object]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).replace("<locals>.", "").replace("<lambda>", "function")


def _shortened(value: object) -> str:
    shown = "NaN" if isinstance(value, float) and math.isnan(value) else repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"
