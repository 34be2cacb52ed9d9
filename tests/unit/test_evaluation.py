"""Evaluation: what counts as right, fixed and broken, with readers and rectifiers made for the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
import pytest

from stn_deploy.data import Sample
from stn_deploy.errors import ArgumentError, DatasetError, ImageError
from stn_deploy.geometry import TextSpline, control_point_targets
from stn_deploy.runtime import Rectified, Rectifier
from stn_deploy.runtime.evaluation import Case, Evaluation, evaluate
from stn_deploy.runtime.ocr import Reading

RAW, STRAIGHT = 40, 200
"""Grey of a crop and of what the rectifier makes of it."""


class ScriptedReader:
    """Reads a crop by its grey value; the red channel says which crop it is."""

    def __init__(
        self,
        raw: list[str],
        straight: list[str],
        *,
        name: str = "scripted",
        sure: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        self.name = name
        self.texts = {RAW: raw, STRAIGHT: straight}
        certain = sure or ([0.5] * len(raw), [0.5] * len(straight))
        self.confidences = dict(zip((RAW, STRAIGHT), certain, strict=True))
        self.calls = 0

    def read(self, image: np.ndarray) -> Reading:
        self.calls += 1
        grey, index = int(image[0, 0, 0]), int(image[0, 0, 2])
        return Reading(self.texts[grey][index], self.confidences[grey][index])


def scripted_rectifier(untouched: set[int]) -> Rectifier:
    """Brightens crops, but for those whose number is in ``untouched``."""

    def straighten(image: np.ndarray) -> Rectified:
        applied = int(image[0, 0, 2]) not in untouched
        result = image.copy() if applied else image
        if applied:
            result[..., 0] = STRAIGHT
        theta = control_point_targets(4).astype(np.float32)
        return Rectified(
            image=result, applied=applied, score=0.5, theta=theta, source_size=(4, 9), spline=TextSpline()
        )

    return cast(Rectifier, straighten)


def sample(index: int, text: str, data: bytes | None = None) -> Sample:
    image = np.zeros((4, 9, 3), np.uint8)
    image[..., 0], image[..., 2] = RAW, index
    encoded = cv2.imencode(".png", image)[1].tobytes() if data is None else data
    return Sample(f"{index}.png", text, None, lambda: encoded)


LABELS = ["Right", "fixed", "broken", "wrong", "left"]
RAW_TEXTS = ["right!", "fxed", "BROKEN", "wrng", "left"]
STRAIGHT_TEXTS = ["RIGHT", "Fixed.", "brken", "wron", "must not be read"]


def samples(*more: Sample) -> list[Sample]:
    return [*(sample(index, text) for index, text in enumerate(LABELS)), *more]


def evaluated(*more: Sample) -> tuple[Evaluation, ScriptedReader, list[None]]:
    reader, progress = ScriptedReader(RAW_TEXTS, STRAIGHT_TEXTS), list[None]()
    rectifier = scripted_rectifier({4})
    (result,) = evaluate(samples(*more), rectifier, [reader], progress=lambda: progress.append(None))
    return result, reader, progress


def labels(cases: list[Case]) -> list[str]:
    return [case.label for case in cases]


def test_words_are_counted_as_right_fixed_and_broken() -> None:
    result, reader, _ = evaluated()
    assert result.engine == "scripted"
    assert result.raw_accuracy == result.rectified.accuracy == 3 / 5
    assert result.rectified.gain == 0
    assert result.applied == 4 / 5
    assert labels(result.rectified.fixed) == ["fixed"]
    assert labels(result.rectified.broken) == ["broken"]
    assert result.cases[1] == Case(
        name="1.png",
        label="fixed",
        raw="fxed",
        raw_confidence=0.5,
        rectified="Fixed.",
        rectified_confidence=0.5,
        applied=True,
    )
    assert reader.calls == 9  # an untouched crop is read once
    assert result.cases[4].rectified == "left"


def test_the_second_opinion_is_the_more_confident_reading_and_raw_when_equal() -> None:
    sure = ([0.9, 0.4, 0.8, 0.3, 0.1], [0.9, 0.6, 0.8, 0.9, 0.0])
    reader = ScriptedReader(RAW_TEXTS, STRAIGHT_TEXTS, sure=sure)
    (result,) = evaluate(samples(), scripted_rectifier({4}), [reader])
    opinions = [case.second_opinion for case in result.cases]
    assert opinions == ["right!", "Fixed.", "BROKEN", "wron", "left"]
    assert labels(result.second_opinion.fixed) == ["fixed"]
    assert result.second_opinion.broken == []
    assert result.second_opinion.accuracy == 4 / 5
    assert abs(result.second_opinion.gain - 1 / 5) < 1e-12
    assert (result.cases[4].raw_confidence, result.cases[4].rectified_confidence) == (0.1, 0.1)


def test_several_engines_read_the_same_crops_which_are_straightened_once() -> None:
    first = ScriptedReader(RAW_TEXTS, STRAIGHT_TEXTS, name="first")
    second = ScriptedReader(LABELS, LABELS, name="second")
    rectified, changes = [], []
    inner = scripted_rectifier({4})

    def counting(image: np.ndarray) -> Rectified:
        rectified.append(image)
        return inner(image)

    def changed(engine: str, case: Case, raw: np.ndarray, straight: np.ndarray) -> None:
        changes.append((engine, case.label, int(raw[0, 0, 0]), int(straight[0, 0, 0])))

    results = evaluate(samples(), cast(Rectifier, counting), [first, second], changed=changed)
    assert [result.engine for result in results] == ["first", "second"]
    assert [result.raw_accuracy for result in results] == [3 / 5, 1.0]
    assert len(rectified) == len(LABELS)
    assert changes == [("first", "fixed", RAW, STRAIGHT), ("first", "broken", RAW, STRAIGHT)]


def test_labels_without_letters_are_skipped_and_unreadable_images_are_named() -> None:
    result, _, progress = evaluated(sample(0, "&!"), sample(0, "лес"), sample(1, "x", b"not an image"))
    assert result.skipped == 2
    (message,) = result.unreadable
    assert message.startswith("1.png: ")
    assert len(result.cases) == 5
    assert len(progress) == 8


def test_what_the_rectifier_cannot_use_is_named_too() -> None:
    def refuse(image: np.ndarray) -> Rectified:
        if image[0, 0, 2] == 3:
            raise ImageError("image: expected sides of at most 32766 pixels")
        return scripted_rectifier(set())(image)

    reader = ScriptedReader(RAW_TEXTS, STRAIGHT_TEXTS)
    (result,) = evaluate(samples(), cast(Rectifier, refuse), [reader])
    assert result.unreadable == ["3.png: image: expected sides of at most 32766 pixels"]
    assert len(result.cases) == 4


@pytest.mark.parametrize("given", [[], [sample(0, "&")], [sample(0, "x", b"")]])
def test_without_anything_to_compare_there_is_no_result(given: list[Sample]) -> None:
    with pytest.raises(DatasetError, match="expected at least one readable crop"):
        evaluate(given, scripted_rectifier(set()), [ScriptedReader([], [])])


def test_without_an_engine_there_is_no_evaluation() -> None:
    with pytest.raises(ArgumentError, match="readers: expected at least one OCR engine"):
        evaluate(samples(), scripted_rectifier(set()), [])


def made_up(*, fixed: int, broken: int, same: int) -> Evaluation:
    def case(raw: str, rectified: str) -> Case:
        return Case(
            name="x",
            label="word",
            raw=raw,
            raw_confidence=0.2,
            rectified=rectified,
            rectified_confidence=0.9,
            applied=True,
        )

    cases = [case("wrd", "word")] * fixed + [case("word", "wrd")] * broken + [case("word", "word")] * same
    return Evaluation(engine="x", cases=cases, skipped=0, unreadable=[])


def test_the_interval_holds_the_gain_and_narrows_with_the_number_of_words() -> None:
    widths = []
    for result in (made_up(fixed=8, broken=2, same=30), made_up(fixed=160, broken=40, same=600)):
        low, high = result.rectified.interval
        assert abs(result.rectified.gain - 0.15) < 1e-9
        assert low < result.rectified.gain < high
        # The normal approximation of the mean of changes of -1, 0 and 1.
        spread = 1.96 * np.sqrt((0.25 - 0.15**2) / len(result.cases))
        assert abs((high - low) / (2 * spread) - 1) < 0.15
        assert result.second_opinion == result.rectified  # here the rectified reading is always the surer one
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_the_interval_is_that_of_drawing_crops_with_replacement() -> None:
    result = made_up(fixed=9, broken=4, same=27)
    change = np.array([case.rectified_right - float(case.raw_right) for case in result.cases])
    picks = np.random.default_rng(7).integers(len(change), size=(20_000, len(change)))
    drawn = np.quantile(change[picks].mean(axis=1), [0.025, 0.975])
    assert np.abs(drawn - result.rectified.interval).max() <= 1 / len(change)


def test_without_changes_the_interval_is_empty() -> None:
    assert made_up(fixed=0, broken=0, same=5).rectified.interval == (0.0, 0.0)
