"""Crops read raw and straightened: which reading counts, how often the engine is asked, how much is held."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, BatchError, ImageError
from stn_deploy.geometry import control_point_targets
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.ocr import CallableReader, Reading, SecondOpinion, read_many, read_rectified
from tests.unit.conftest import Knowing

HEIGHT = 24
"""Of straightened crops; those that come in are higher, by which the readers below tell them apart."""
Image = np.ndarray


def crop(height: int, width: int = 90, value: int = 100) -> Image:
    return np.full((height, width, 3), value, np.uint8)


class Told:
    """A reader that is told how sure it is of raw and of straightened crops; it notes what it sees."""

    name = "Told"

    def __init__(self, raw: float = 0.5, straightened: float = 0.75) -> None:
        self.sure = {False: raw, True: straightened}
        self.seen: list[tuple[int, ...]] = []

    def read(self, image: Image) -> Reading:
        assert image.dtype == np.uint8
        self.seen.append(image.shape)
        straight = image.shape[0] == HEIGHT
        return Reading(f"{'straight' if straight else image.shape[0]}", self.sure[straight])


class ToldMany(Told):
    """... and that takes several at once."""

    def __init__(self, lost: int = 0) -> None:
        super().__init__()
        self.batches: list[int] = []
        self._lost = lost

    def read_many(self, images: Sequence[Image]) -> list[Reading]:
        self.batches.append(len(images))
        return [self.read(image) for image in images][self._lost :]


@pytest.fixture
def always(knowing: Knowing) -> Rectifier:
    return knowing(0.8 * control_point_targets(14), score=0.9, height=HEIGHT, threshold=0.5)


@pytest.fixture
def never(knowing: Knowing) -> Rectifier:
    return knowing(0.8 * control_point_targets(14), score=0.1, height=HEIGHT, threshold=0.5)


@pytest.mark.parametrize(
    ("raw", "straightened", "kept"),
    [(0.5, 0.75, "straight"), (0.75, 0.5, "40"), (0.5, 0.5, "40"), (0.0, 0.0, "40")],
)
def test_the_more_confident_reading_counts_and_the_raw_one_where_both_are_as_sure(
    always: Rectifier, raw: float, straightened: float, kept: str
) -> None:
    both = read_rectified(always, Told(raw, straightened), crop(40))
    assert (both.raw, both.rectified) == (("40", raw), ("straight", straightened))
    assert both.kept.text == kept
    assert both.straightened_kept == (kept == "straight")
    assert both.result.applied
    assert SecondOpinion(always, Told(raw, straightened)).read(crop(40)) == both.kept


def test_a_crop_that_is_left_alone_is_read_once(never: Rectifier) -> None:
    reader = Told()
    both = read_rectified(never, reader, crop(40))
    assert reader.seen == [(40, 90, 3)]
    assert both.raw is both.rectified is both.kept
    assert not both.straightened_kept


def test_each_crop_gets_its_own_two_readings_in_order(model: object) -> None:
    """Against one at a time, with the model of random weights: some are straightened, some are not."""
    rng = np.random.default_rng(7)
    shapes = [(int(h), int(w)) for h, w in rng.integers((30, 40), (90, 200), (70, 2))]
    images = [rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for shape in shapes]
    scores = [result.score for result in Rectifier(model, height=HEIGHT)(images)]  # type: ignore[arg-type]
    rectifier = Rectifier(model, height=HEIGHT, threshold=float(np.median(scores)))  # type: ignore[arg-type]
    found = read_rectified(rectifier, Told(), images)
    alone = [read_rectified(rectifier, Told(), image) for image in images]
    assert 0 < sum(both.result.applied for both in found) < len(images)
    assert [(both.raw, both.rectified) for both in found] == [(both.raw, both.rectified) for both in alone]
    assert [both.raw.text for both in found] == [str(height) for height, _ in shapes]
    assert [both.rectified.text == "straight" for both in found] == [both.result.applied for both in found]
    opinion = SecondOpinion(rectifier, Told())
    assert opinion.read_many(images) == [both.kept for both in found]
    assert read_many(opinion, images) == [both.kept for both in found]


def test_a_stream_is_read_as_it_comes_and_little_of_it_is_held(always: Rectifier) -> None:
    taken = 0

    def endless() -> Iterator[Image]:
        nonlocal taken
        while True:
            taken += 1
            yield crop(30 + taken)

    results = read_rectified(always, Told(), endless())
    assert taken == 0
    for index in range(1, 200):
        assert next(results).raw.text == str(30 + index)
        assert taken - index <= 64


@pytest.mark.parametrize(
    "image",
    [
        np.full((40, 90), 100, np.uint8),
        np.full((40, 90, 4), 255, np.uint8),
        np.full((40, 90, 3), 25700, np.uint16),
    ],
    ids=["grey", "BGRA", "16 bits"],
)
def test_readers_see_bgr_whatever_came(always: Rectifier, never: Rectifier, image: Image) -> None:
    for rectifier in (always, never):
        reader = Told()
        read_rectified(rectifier, reader, image)
        assert reader.seen[0] == (40, 90, 3)
        assert {shape[2] for shape in reader.seen} == {3}


def test_all_that_the_rectifier_takes_is_read(always: Rectifier, tmp_path: Path) -> None:
    """A path, bytes and a file object give what their pixels give; a list may mix them."""
    image = np.random.default_rng(3).integers(0, 256, (41, 90, 3)).astype(np.uint8)
    data = bytes(cv2.imencode(".png", image)[1])
    path = tmp_path / "a.png"
    path.write_bytes(data)
    expected = read_rectified(always, Told(), image)

    def mixed() -> list[Any]:
        return [path, str(path), data, io.BytesIO(data), image]

    found = read_rectified(always, Told(), mixed())
    found += [read_rectified(always, Told(), each) for each in mixed()]
    assert [(both.raw, both.rectified) for both in found] == [(expected.raw, expected.rectified)] * 10
    assert all(np.array_equal(both.result.image, expected.result.image) for both in found)
    assert SecondOpinion(always, Told()).read_many(mixed()) == [expected.kept] * 5


def test_files_are_read_with_the_settings_of_the_rectifier(knowing: Knowing) -> None:
    data = bytes(cv2.imencode(".png", crop(200, 300))[1])
    small = knowing(0.8 * control_point_targets(14), height=HEIGHT, max_megapixels=0.05)
    with pytest.raises(ImageError, match="^image: expected at most 0.05 megapixels"):
        read_rectified(small, Told(), data)


def test_what_comes_before_a_bad_image_of_a_stream_is_read_before_it_is_raised(always: Rectifier) -> None:
    results = read_rectified(always, Told(), iter([crop(40), crop(41), b"none", crop(42)]))
    assert [next(results).raw.text, next(results).raw.text] == ["40", "41"]
    with pytest.raises(ImageError, match="^image 2: "):
        next(results)


def test_a_reader_of_batches_gets_raw_and_straightened_crops_together(always: Rectifier) -> None:
    reader = ToldMany()
    found = read_rectified(always, reader, [crop(30 + index) for index in range(40)])
    assert reader.batches == [80]
    assert [both.raw.text for both in found] == [str(30 + index) for index in range(40)]
    assert {both.rectified.text for both in found} == {"straight"}


def test_nothing_is_nothing(always: Rectifier) -> None:
    reader = ToldMany()
    assert read_rectified(always, reader, []) == []
    assert list(read_rectified(always, reader, iter([]))) == []
    assert read_many(reader, []) == []
    assert reader.batches == []


def test_a_reader_that_loses_a_crop_is_told(always: Rectifier) -> None:
    with pytest.raises(BatchError, match="^Told: expected 2 readings, one for each crop, got 1$"):
        read_rectified(always, ToldMany(lost=1), crop(40))


@pytest.mark.parametrize("images", [7, None, {1, 2}])
def test_what_holds_no_crops_is_refused(always: Rectifier, images: object) -> None:
    with pytest.raises(ArgumentError, match=f"^images: expected an array.*got {type(images).__name__}$"):
        read_rectified(always, Told(), images)  # type: ignore[call-overload]


def test_what_the_rectifier_refuses_is_refused_before_anything_is_read(always: Rectifier) -> None:
    reader = Told()
    with pytest.raises(ImageError, match="image 1: expected at least 2 x 2"):
        read_rectified(always, reader, [crop(40), crop(1)])
    assert reader.seen == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("door", ("door", 1.0)),
        (" door\n", ("door", 1.0)),
        ("  ", ("", 0.0)),
        (("door", 0.25), ("door", 0.25)),
        (["door", 1], ("door", 1.0)),
        (("door", np.float32(0.5)), ("door", 0.5)),
        (("door", 1.0000002), ("door", 1.0)),
        (Reading(" door ", 0.5), ("door", 0.5)),
    ],
)
def test_any_function_of_a_crop_is_a_reader(answer: object, expected: tuple[str, float]) -> None:
    reading = CallableReader(lambda image: answer).read(crop(40))  # type: ignore[arg-type, return-value]
    assert reading == expected
    assert type(reading.confidence) is float


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "expected a text, or a text and its confidence, got NoneType None"),
        (("door",), r"expected a text, .*got tuple \('door',\)"),
        ((0.5, "door"), "expected a text, .*got tuple"),
        (("door", 87), "expected a confidence from 0 to 1, got int 87; divide percents by 100"),
        (("door", -0.5), "expected a confidence from 0 to 1, got float -0.5$"),
        (("door", float("nan")), "expected a confidence from 0 to 1, got float NaN$"),
        (("door", "sure"), "expected a confidence from 0 to 1, got str 'sure'$"),
    ],
)
def test_a_function_that_gives_no_reading_is_named(answer: object, message: str) -> None:
    reader = CallableReader(lambda image: answer, name="mine")  # type: ignore[arg-type, return-value]
    with pytest.raises(ArgumentError, match=f"^mine: {message}"):
        reader.read(crop(40))


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ArgumentError, match="^function: expected a function of a crop, got str$"):
        CallableReader("tesseract")  # type: ignore[arg-type]


def spell(image: Image, letters: str = "") -> str:
    return letters


class Speller:
    def __call__(self, image: Image) -> str:
        return ""


def test_a_function_names_itself() -> None:
    assert CallableReader(spell).name == "spell"
    assert CallableReader(functools.partial(spell, letters="a")).name == "spell"
    assert CallableReader(Speller()).name == "Speller"
    assert CallableReader(Told().read).name == "Told.read"
    assert CallableReader(spell, name="house OCR").name == "house OCR"


def test_of_a_function_without_confidence_the_second_reading_counts_only_where_the_first_is_empty(
    always: Rectifier,
) -> None:
    blind = CallableReader(lambda image: "found" if image.shape[0] == HEIGHT else "")
    assert SecondOpinion(always, blind).read(crop(40)) == ("found", 1.0)
    sighted = CallableReader(lambda image: "new" if image.shape[0] == HEIGHT else "old")
    assert SecondOpinion(always, sighted).read(crop(40)) == ("old", 1.0)
    assert SecondOpinion(always, CallableReader(spell)).name == "spell, second opinion"
