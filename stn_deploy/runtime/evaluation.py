"""Word accuracy of OCR engines on raw and on rectified crops, paired crop by crop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import Sample
from stn_deploy.errors import ArgumentError, DatasetError, ImageError
from stn_deploy.runtime.ocr import Reader, comparable, is_surer
from stn_deploy.runtime.rectifier import Rectifier

Image = NDArray[np.uint8]

_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Case:
    """One crop: its label, and what was read before and after rectification, with the engine's confidence.

    A crop that was left as it is (``applied`` False) has one reading, which stands in both places.
    """

    name: str
    label: str
    raw: str
    raw_confidence: float
    rectified: str
    rectified_confidence: float
    applied: bool

    @property
    def second_opinion_straightened(self) -> bool:
        """Whether the reading after rectification is the more confident one."""
        return is_surer(self.rectified_confidence, self.raw_confidence)

    @property
    def second_opinion(self) -> str:
        """The more confident of both readings; the raw one where they are equally sure."""
        return self.rectified if self.second_opinion_straightened else self.raw

    @property
    def raw_right(self) -> bool:
        """Whether the raw reading matches the label."""
        return comparable(self.raw) == comparable(self.label)

    @property
    def rectified_right(self) -> bool:
        """Whether the reading after rectification matches the label."""
        return comparable(self.rectified) == comparable(self.label)

    @property
    def second_opinion_right(self) -> bool:
        """Whether the more confident of both readings matches the label."""
        return comparable(self.second_opinion) == comparable(self.label)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A way of reading beside the raw readings of the same crops.

    accuracy: part of the words read right. gain: over the raw readings. interval: of the gain, 95 %, paired
    bootstrap over the crops. fixed: words that only this way reads right. broken: words that it loses.
    """

    accuracy: float
    gain: float
    interval: tuple[float, float]
    fixed: list[Case]
    broken: list[Case]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Result of an evaluation with one OCR engine.

    engine: its name. cases: one for each crop with a comparable label. skipped: crops without one.
    unreadable: what was wrong with each crop that could not be used.
    """

    engine: str
    cases: list[Case]
    skipped: int
    unreadable: list[str]

    @cached_property
    def raw_accuracy(self) -> float:
        """Part of the words read right without the rectifier."""
        return float(np.mean([case.raw_right for case in self.cases]))

    @cached_property
    def applied(self) -> float:
        """Part of the crops that were straightened."""
        return float(np.mean([case.applied for case in self.cases]))

    @cached_property
    def rectified(self) -> Outcome:
        """One reading for each word: the rectifier and its gate alone decide."""
        return self._outcome([case.rectified_right for case in self.cases])

    @cached_property
    def second_opinion(self) -> Outcome:
        """Two readings for each straightened word: the more confident one counts."""
        return self._outcome([case.second_opinion_right for case in self.cases])

    def _outcome(self, right: list[bool]) -> Outcome:
        pairs = list(zip(self.cases, right, strict=True))
        fixed = [case for case, now in pairs if now and not case.raw_right]
        broken = [case for case, now in pairs if case.raw_right and not now]
        words, won, lost = len(pairs), len(fixed), len(broken)
        # Drawing crops with replacement draws their changes, of which there are but three: +1, -1 and 0.
        shares = np.array([won, lost, words - won - lost]) / words
        drawn = np.random.default_rng(0).multinomial(words, shares, size=_RESAMPLES)
        low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / words, [0.025, 0.975])
        return Outcome(
            accuracy=sum(right) / words,
            gain=(won - lost) / words,
            interval=(float(low), float(high)),
            fixed=fixed,
            broken=broken,
        )


def evaluate(
    samples: Iterable[Sample],
    rectifier: Rectifier,
    readers: Sequence[Reader],
    *,
    progress: Callable[[], None] = lambda: None,
    changed: Callable[[str, Case, Image, Image], None] = lambda *_: None,
) -> list[Evaluation]:
    """Rectify each crop once; read it with each engine, as it is and rectified.

    A crop that is left as it is counts with the one reading it has. Labels with nothing to compare (no
    letter a to z, no digit) are skipped and counted. No crop is kept.

    Args:
        readers: at least one.
        progress: called for each sample.
        changed: called for each word that rectification fixes or breaks, with the name of the engine, the
            case, the crop and the straightened crop.
    Returns:
        an evaluation for each engine.
    Raises:
        ArgumentError: no engine.
        DatasetError: nothing is left to compare.
    """
    if not readers:
        raise ArgumentError("readers: expected at least one OCR engine, got none")
    cases: list[list[Case]] = [[] for _ in readers]
    skipped, unreadable = 0, list[str]()
    for sample in samples:
        progress()
        if not comparable(sample.text):
            skipped += 1
            continue
        try:
            image = sample.image()
            result = rectifier(image)
        except ImageError as error:
            unreadable.append(f"{sample.name}: {str(error).removeprefix(f'{sample.name}: ')}")
            continue
        for reader, own in zip(readers, cases, strict=True):
            case = _read(reader, sample, image, result.image if result.applied else None)
            own.append(case)
            if case.raw_right != case.rectified_right:
                changed(reader.name, case, image, result.image)
    if not cases[0]:
        raise DatasetError(
            "dataset: expected at least one readable crop with a label of a-z or 0-9, got none"
        )
    return [
        Evaluation(engine=reader.name, cases=own, skipped=skipped, unreadable=unreadable)
        for reader, own in zip(readers, cases, strict=True)
    ]


def _read(reader: Reader, sample: Sample, image: Image, straight: Image | None) -> Case:
    raw = reader.read(image)
    rectified = raw if straight is None else reader.read(straight)
    return Case(
        name=sample.name,
        label=sample.text,
        raw=raw.text,
        raw_confidence=raw.confidence,
        rectified=rectified.text,
        rectified_confidence=rectified.confidence,
        applied=straight is not None,
    )
