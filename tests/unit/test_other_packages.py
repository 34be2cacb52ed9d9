"""PaddleOCR, docTR and EasyOCR as readers and detectors, behind stand-ins that answer as they do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr import (
    BatchReader,
    Detector,
    DoctrReader,
    EasyOcrReader,
    PaddleReader,
    open_reader,
    read_many,
)

Lines = list[tuple[str, Any]]


def crops(count: int) -> list[np.ndarray]:
    """Of different heights, with other values in each channel: blue 10, green 20, red 30."""
    return [np.full((20 + index, 60, 3), (10, 20, 30), np.uint8) for index in range(count)]


class Paddle:
    """As ``paddleocr.TextRecognition``: keyword arguments; mappings out, lazily; takes BGR."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def predict(self, *, batch_size: int, **given: list[np.ndarray]) -> Iterator[dict[str, Any]]:
        assert batch_size >= 1
        assert given.keys() == {"input"}
        assert isinstance(given["input"], list)
        for image, (text, score) in zip(given["input"], self.lines, strict=True):
            assert image[0, 0].tolist() == [10, 20, 30]
            yield {"input_path": None, "rec_text": text, "rec_score": score}


class OldPaddle:
    """As ``paddleocr.PaddleOCR`` of PaddleOCR 2: one picture in, a list for it out."""

    def __init__(self, lines: Lines, quads: Any = None) -> None:
        self.lines = iter(lines)
        self.quads = quads

    def ocr(self, img: np.ndarray, *, det: bool, rec: bool, cls: bool) -> list[Any]:
        assert img[0, 0].tolist() == [10, 20, 30]
        assert (det, rec, cls) in [(True, False, False), (False, True, False)]
        return [[next(self.lines)]] if rec else self.quads


class Doctr:
    """As what ``doctr.models.recognition_predictor`` makes: a list in, pairs out; takes RGB."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def __call__(self, images: list[np.ndarray]) -> Lines:
        assert all(image[0, 0].tolist() == [30, 20, 10] for image in images)
        assert len(images) == len(self.lines)
        return self.lines


class Easy:
    """As ``easyocr.Reader``: one grey picture in, a list of box, text and confidence out."""

    def __init__(self, lines: Lines) -> None:
        self.lines = iter(lines)

    def recognize(self, img_cv_grey: np.ndarray) -> list[tuple[list[list[int]], str, float]]:
        height, width = img_cv_grey.shape
        text, score = next(self.lines)
        return [([[0, 0], [width, 0], [width, height], [0, height]], text, score)]


Make = Callable[[Lines], Any]
each_package = pytest.mark.parametrize(
    "make",
    [
        lambda lines: PaddleReader(Paddle(lines)),
        lambda lines: PaddleReader(OldPaddle(lines)),
        lambda lines: DoctrReader(Doctr(lines)),
        lambda lines: EasyOcrReader(Easy(lines)),
    ],
    ids=["PaddleOCR", "PaddleOCR 2", "docTR", "EasyOCR"],
)


@each_package
def test_each_crop_gets_its_own_reading(make: Make, request: pytest.FixtureRequest) -> None:
    reader = make([("door", 0.25), (" floor ", np.float32(0.5)), ("", 0.0)])
    found = read_many(reader, crops(3))
    assert found == [("door", 0.25), ("floor", 0.5), ("", 0.0)]
    assert {type(reading.confidence) for reading in found} == {float}
    assert make([("door", 0.25)]).read(crops(1)[0]) == ("door", 0.25)
    assert request.node.callspec.id.startswith(reader.name)


@each_package
@pytest.mark.parametrize(
    ("given", "expected"), [(1.0000002, 1.0), (-1e-9, 0.0), (float("nan"), 0.0), (np.float32(1), 1.0)]
)
def test_a_confidence_is_a_number_from_0_to_1(make: Make, given: float, expected: float) -> None:
    assert make([("door", given)]).read(crops(1)[0]).confidence == expected


def test_those_that_take_batches_say_so() -> None:
    assert isinstance(PaddleReader(Paddle([])), BatchReader)
    assert isinstance(DoctrReader(Doctr([])), BatchReader)
    assert not isinstance(EasyOcrReader(Easy([])), BatchReader)


def test_several_lines_of_easyocr_are_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    easy = Easy([])
    monkeypatch.setattr(easy, "recognize", lambda grey: [([], "two", 0.25), ([], "words", 0.75)])
    assert EasyOcrReader(easy).read(crops(1)[0]) == ("two words", 0.5)
    monkeypatch.setattr(easy, "recognize", lambda grey: [])
    assert EasyOcrReader(easy).read(crops(1)[0]) == ("", 0.0)


def install(monkeypatch: pytest.MonkeyPatch, module: str, name: str, made: Any) -> list[tuple[Any, Any]]:
    """A package with one name in it; what it is called with is noted."""
    calls: list[tuple[Any, Any]] = []

    def make(*arguments: Any, **options: Any) -> Any:
        calls.append((arguments, options))
        return made

    for part in [module.partition(".")[0], module]:
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    monkeypatch.setattr(sys.modules[module], name, make, raising=False)
    return calls


def test_the_default_recognisers_are_made_as_the_packages_document(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [("door", 0.5)]
    paddle = install(monkeypatch, "paddleocr", "TextRecognition", Paddle(lines))
    doctr = install(monkeypatch, "doctr.models", "recognition_predictor", Doctr(lines))
    easy = install(monkeypatch, "easyocr", "Reader", Easy(lines))
    for reader in (PaddleReader(), DoctrReader(), EasyOcrReader()):
        assert reader.read(crops(1)[0]) == ("door", 0.5)
    assert paddle == [((), {})]
    assert doctr == [((), {"pretrained": True})]
    assert easy == [((["en"],), {"gpu": False, "detector": False, "verbose": False})]


PACKAGES: list[tuple[type, str, str]] = [
    (PaddleReader, "paddleocr", "'paddleocr>=3' paddlepaddle"),
    (DoctrReader, "doctr", "python-doctr"),
    (EasyOcrReader, "easyocr", "easyocr"),
]


@pytest.mark.parametrize(("reader", "module", "packages"), PACKAGES)
def test_a_missing_package_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, reader: type, module: str, packages: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"{module}.models", raising=False)
    with pytest.raises(MissingDependency) as refused:
        reader()
    assert str(refused.value).startswith(module)
    assert str(refused.value).endswith(f"is not installed; pip install {packages}")


def test_the_threads_of_a_registry_reach_paddleocr(monkeypatch: pytest.MonkeyPatch) -> None:
    paddle = install(monkeypatch, "paddleocr", "TextRecognition", Paddle([("door", 0.5)]))
    assert open_reader("paddleocr", threads=3).read(crops(1)[0]) == ("door", 0.5)
    assert paddle == [((), {"cpu_threads": 3})]


def test_where_only_paddleocr_2_is_installed_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    old = install(monkeypatch, "paddleocr", "PaddleOCR", OldPaddle([("door", 0.5)]))
    assert PaddleReader(threads=2).read(crops(1)[0]) == ("door", 0.5)
    assert old == [((), {"lang": "en", "use_angle_cls": False, "show_log": False, "cpu_threads": 2})]


@pytest.mark.parametrize("name", ["paddleocr", "doctr", "easyocr"])
def test_each_is_opened_by_its_name_or_the_fix_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"{name}.models", raising=False)
    with pytest.raises(MissingDependency, match="is not installed; pip install"):
        open_reader(name)


PAGE = np.full((40, 80, 3), (10, 20, 30), np.uint8)
UPRIGHT: Any = [[10, 4], [50, 4], [50, 20], [10, 20]]
DOWNWARDS: Any = [[60, 2], [70, 2], [70, 38], [60, 38]]
"""Begins at the page's top left; the text begins at its own, which is the page's top right."""


class PaddleFinder:
    """As ``paddleocr.TextDetection``."""

    def predict(self, *, batch_size: int, **given: list[np.ndarray]) -> Iterator[dict[str, Any]]:
        (page,) = given.pop("input")
        assert not given
        assert page[0, 0].tolist() == [10, 20, 30]
        yield {"dt_polys": np.array(QUADS, np.int16), "dt_scores": [0.9, 0.8]}


class DoctrFinder:
    """As what ``doctr.models.detection_predictor`` makes: shares of width and height; takes RGB."""

    def __init__(self, boxes: Any) -> None:
        self.boxes = boxes

    def __call__(self, pages: list[np.ndarray]) -> list[Any]:
        assert [page[0, 0].tolist() for page in pages] == [[30, 20, 10]]
        return [self.boxes]


def scored(quad: Any) -> np.ndarray:
    """Corners as shares, and the score below them, as docTR gives turned boxes."""
    return np.concatenate([np.divide(quad, (80, 40)), [[0.5, 0.5]]])


class EasyFinder:
    def detect(self, img: np.ndarray) -> tuple[list[Any], list[Any]]:
        assert img[0, 0].tolist() == [30, 20, 10]
        return [[[10, 50, 4, 20]]], [[DOWNWARDS]]


QUADS: Any = [UPRIGHT, DOWNWARDS]
FINDERS: dict[str, Callable[[pytest.MonkeyPatch], Any]] = {
    "PaddleOCR": lambda patch: PaddleReader(Paddle([]), detector=PaddleFinder()),
    "PaddleOCR 2": lambda patch: PaddleReader(OldPaddle([], [QUADS])),
    "PaddleOCR before 2.6.1": lambda patch: PaddleReader(OldPaddle([], QUADS)),
    "docTR": lambda patch: DoctrReader(
        Doctr([]), detector=DoctrFinder({"words": np.stack([scored(quad) for quad in QUADS])})
    ),
    "docTR before 0.7": lambda patch: DoctrReader(
        Doctr([]), detector=DoctrFinder(np.divide(QUADS, (80, 40)))
    ),
    "EasyOCR": lambda patch: easy_with_detector(patch),
}


def easy_with_detector(patch: pytest.MonkeyPatch) -> EasyOcrReader:
    made = install(patch, "easyocr", "Reader", EasyFinder())
    reader = EasyOcrReader(Easy([]))
    assert made == []
    reader.detect(PAGE)
    assert made == [((["en"],), {"gpu": False, "recognizer": False, "verbose": False})]
    return reader


@pytest.mark.parametrize("make", FINDERS.values(), ids=FINDERS)
def test_lines_are_found_in_pixels_of_the_page_from_where_their_text_begins(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[pytest.MonkeyPatch], Any]
) -> None:
    detector = make(monkeypatch)
    assert isinstance(detector, Detector)
    upright, downwards = map(np.asarray, detector.detect(PAGE))
    assert np.abs(upright - UPRIGHT).max() < 1e-9
    assert np.abs(downwards - np.roll(DOWNWARDS, -1, axis=0)).max() < 1e-9


def test_straight_boxes_of_doctr_are_quads_and_an_empty_page_has_none() -> None:
    boxes = np.array([[10 / 80, 4 / 40, 50 / 80, 20 / 40, 0.9]])
    (quad,) = DoctrReader(Doctr([]), detector=DoctrFinder({"words": boxes})).detect(PAGE)
    np.testing.assert_allclose(quad, UPRIGHT)
    assert DoctrReader(Doctr([]), detector=DoctrFinder({"words": np.zeros((0, 5))})).detect(PAGE) == []
    nothing: list[Any]
    for nothing in ([None], [[]], []):
        assert PaddleReader(OldPaddle([], nothing)).detect(PAGE) == []


def test_default_detectors_are_made_as_the_packages_document(monkeypatch: pytest.MonkeyPatch) -> None:
    paddle = install(monkeypatch, "paddleocr", "TextDetection", PaddleFinder())
    doctr = install(monkeypatch, "doctr.models", "detection_predictor", DoctrFinder({}))
    assert len(PaddleReader(Paddle([])).detect(PAGE)) == 2
    assert DoctrReader(Doctr([])).detect(PAGE) == []
    assert paddle == [((), {})]
    assert doctr == [((), {"pretrained": True, "assume_straight_pages": False})]


def test_an_old_release_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paddleocr", ModuleType("paddleocr"))
    with pytest.raises(MissingDependency, match="^paddleocr with TextRecognition is not installed; pip"):
        PaddleReader()
