"""Word accuracy of an OCR engine on raw and on rectified crops, paired crop by crop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import Sample
from stn_deploy.errors import DatasetError, ImageError
from stn_deploy.runtime.ocr import Reader, comparable
from stn_deploy.runtime.rectifier import Rectifier

_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Case:
    """One crop: its label and what was read before and after rectification."""

    name: str
    label: str
    raw: str
    rectified: str
    applied: bool

    @property
    def raw_right(self) -> bool:
        """Whether the raw reading matches the label."""
        return comparable(self.raw) == comparable(self.label)

    @property
    def rectified_right(self) -> bool:
        """Whether the reading after rectification matches the label."""
        return comparable(self.rectified) == comparable(self.label)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Result of an evaluation.

    engine: name of the OCR engine. cases: one for each crop with a comparable label. skipped: crops without
    one. unreadable: names of crops that could not be decoded.
    """

    engine: str
    cases: list[Case]
    skipped: int
    unreadable: list[str]

    @property
    def raw_accuracy(self) -> float:
        """Part of the words read right without the rectifier."""
        return float(np.mean([case.raw_right for case in self.cases]))

    @property
    def rectified_accuracy(self) -> float:
        """Part of the words read right with the rectifier."""
        return float(np.mean([case.rectified_right for case in self.cases]))

    @property
    def applied(self) -> float:
        """Part of the crops that were straightened."""
        return float(np.mean([case.applied for case in self.cases]))

    @property
    def fixed(self) -> list[Case]:
        """Words that are right only with the rectifier."""
        return [case for case in self.cases if case.rectified_right and not case.raw_right]

    @property
    def broken(self) -> list[Case]:
        """Words that are right only without the rectifier."""
        return [case for case in self.cases if case.raw_right and not case.rectified_right]

    def gain_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the gain in accuracy: paired bootstrap over the crops."""
        change = np.array([case.rectified_right - float(case.raw_right) for case in self.cases])
        picks = np.random.default_rng(0).integers(len(change), size=(_RESAMPLES, len(change)))
        low, high = np.quantile(change[picks].mean(axis=1), [0.025, 0.975])
        return float(low), float(high)


def evaluate(
    samples: Iterable[Sample],
    rectifier: Rectifier,
    reader: Reader,
    *,
    progress: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Read each crop as it is and rectified.

    A crop that is left as it is counts with the one reading it has. Labels with nothing to compare (no
    letter a to z, no digit) are skipped and counted.

    Args:
        progress: called after each sample.
    Raises:
        DatasetError: nothing is left to compare.
    """
    cases, skipped, unreadable = [], 0, []
    for sample in samples:
        progress()
        if not comparable(sample.text):
            skipped += 1
            continue
        try:
            image: NDArray[np.uint8] = sample.image()
        except ImageError as error:
            unreadable.append(str(error))
            continue
        result = rectifier(image)
        raw = reader.read(image).text
        rectified = reader.read(result.image).text if result.applied else raw
        cases.append(
            Case(name=sample.name, label=sample.text, raw=raw, rectified=rectified, applied=result.applied)
        )
    if not cases:
        raise DatasetError(
            "dataset: expected at least one readable crop with a label of a-z or 0-9, got none"
        )
    return Evaluation(engine=reader.name, cases=cases, skipped=skipped, unreadable=unreadable)
