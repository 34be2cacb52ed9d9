"""PaddleOCR, docTR and EasyOCR as readers, behind stand-ins that answer in the packages' own ways."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr import BatchReader, DoctrReader, EasyOcrReader, PaddleReader, read_many

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
        lambda lines: DoctrReader(Doctr(lines)),
        lambda lines: EasyOcrReader(Easy(lines)),
    ],
    ids=["PaddleOCR", "docTR", "EasyOCR"],
)


@each_package
def test_each_crop_gets_its_own_reading(make: Make, request: pytest.FixtureRequest) -> None:
    reader = make([("door", 0.25), (" floor ", np.float32(0.5)), ("", 0.0)])
    found = read_many(reader, crops(3))
    assert found == [("door", 0.25), ("floor", 0.5), ("", 0.0)]
    assert {type(reading.confidence) for reading in found} == {float}
    assert make([("door", 0.25)]).read(crops(1)[0]) == ("door", 0.25)
    assert reader.name == request.node.callspec.id


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


def test_an_old_release_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paddleocr", ModuleType("paddleocr"))
    with pytest.raises(MissingDependency, match="^paddleocr with TextRecognition is not installed; pip"):
        PaddleReader()
