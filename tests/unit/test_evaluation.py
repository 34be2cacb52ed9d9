"""Evaluation: what counts as right, fixed and broken, with readers and rectifiers made for the test."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import pytest

from stn_deploy.data import Sample
from stn_deploy.errors import ArgumentError, DatasetError
from stn_deploy.geometry import control_point_targets
from stn_deploy.runtime import Rectified, Rectifier
from stn_deploy.runtime.evaluation import Case, Evaluation, evaluate
from stn_deploy.runtime.ocr import Reading, comparable, open_reader

RAW, STRAIGHT = 40, 200
"""Grey of a crop and of what the rectifier makes of it."""


class ScriptedReader:
    """Reads a crop by its grey value; the red channel says which crop it is."""

    name = "scripted"

    def __init__(self, raw: list[str], straight: list[str]) -> None:
        self.texts = {RAW: raw, STRAIGHT: straight}
        self.calls = 0

    def read(self, image: np.ndarray) -> Reading:
        self.calls += 1
        return Reading(self.texts[int(image[0, 0, 0])][int(image[0, 0, 2])], 0.5)


def scripted_rectifier(untouched: set[int]) -> Rectifier:
    """Brightens crops, but for those whose number is in ``untouched``."""

    def straighten(image: np.ndarray) -> Rectified:
        applied = int(image[0, 0, 2]) not in untouched
        result = image.copy() if applied else image
        if applied:
            result[..., 0] = STRAIGHT
        theta = control_point_targets(4).astype(np.float32)
        return Rectified(
            image=result, applied=applied, score=0.5, theta=theta, source_size=(4, 9), kernel_aspect=1.0
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


def evaluated(*more: Sample) -> tuple[Evaluation, ScriptedReader, list[None]]:
    reader, progress = ScriptedReader(RAW_TEXTS, STRAIGHT_TEXTS), list[None]()
    samples = [*(sample(index, text) for index, text in enumerate(LABELS)), *more]
    rectifier = scripted_rectifier({4})
    return evaluate(samples, rectifier, reader, progress=lambda: progress.append(None)), reader, progress


def test_words_are_counted_as_right_fixed_and_broken() -> None:
    result, reader, _ = evaluated()
    assert result.engine == "scripted"
    assert result.raw_accuracy == 3 / 5
    assert result.rectified_accuracy == 3 / 5
    assert result.applied == 4 / 5
    assert [case.label for case in result.fixed] == ["fixed"]
    assert [case.label for case in result.broken] == ["broken"]
    assert result.cases[1] == Case(name="1.png", label="fixed", raw="fxed", rectified="Fixed.", applied=True)
    assert reader.calls == 9  # an untouched crop is read once
    assert result.cases[4].rectified == "left"


def test_labels_without_letters_are_skipped_and_unreadable_images_are_named() -> None:
    result, _, progress = evaluated(sample(0, "&!"), sample(0, "лес"), sample(1, "x", b"not an image"))
    assert result.skipped == 2
    (message,) = result.unreadable
    assert message.startswith("1.png: ")
    assert len(result.cases) == 5
    assert len(progress) == 8


@pytest.mark.parametrize("samples", [[], [sample(0, "&")], [sample(0, "x", b"")]])
def test_without_anything_to_compare_there_is_no_result(samples: list[Sample]) -> None:
    with pytest.raises(DatasetError, match="expected at least one readable crop"):
        evaluate(samples, scripted_rectifier(set()), ScriptedReader([], []))


def made_up(*, fixed: int, broken: int, same: int) -> Evaluation:
    def case(raw: str, rectified: str) -> Case:
        return Case(name="x", label="word", raw=raw, rectified=rectified, applied=True)

    cases = [case("wrd", "word")] * fixed + [case("word", "wrd")] * broken + [case("word", "word")] * same
    return Evaluation(engine="x", cases=cases, skipped=0, unreadable=[])


def test_the_interval_holds_the_gain_and_narrows_with_the_number_of_words() -> None:
    few, many = made_up(fixed=8, broken=2, same=30), made_up(fixed=160, broken=40, same=600)
    widths = []
    for result in (few, many):
        low, high = result.gain_interval()
        gain = result.rectified_accuracy - result.raw_accuracy
        assert abs(gain - 0.15) < 1e-9
        assert low < gain < high
        # The normal approximation of the mean of changes of -1, 0 and 1.
        spread = 1.96 * np.sqrt((0.25 - 0.15**2) / len(result.cases))
        assert abs((high - low) / (2 * spread) - 1) < 0.15
        widths.append(high - low)
    assert widths[1] < widths[0] / 3
    assert few.gain_interval() == few.gain_interval()


def test_without_changes_the_interval_is_empty() -> None:
    assert made_up(fixed=0, broken=0, same=5).gain_interval() == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Café No. 7!", "cafno7"), ("  A-b_C ", "abc"), ("ÅØ", ""), ("", ""), ("٣3", "3"), ("K\n9", "k9")],
)
def test_only_latin_letters_and_digits_count_and_case_does_not(text: str, expected: str) -> None:
    assert comparable(text) == expected


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ArgumentError, match="ocr: expected tesseract, got 'magic'"):
        open_reader("magic")
