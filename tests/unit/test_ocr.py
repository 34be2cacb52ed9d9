"""OCR engines: by name, behind the packages' own return types, and the real ones where they are installed."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, MissingDependency
from stn_deploy.runtime.ocr import READERS, comparable, open_reader, open_readers
from stn_deploy.runtime.ocr.tesseract import TesseractProgram

CROP = np.full((31, 90, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Café No. 7!", "cafno7"), ("  A-b_C ", "abc"), ("ÅØ", ""), ("", ""), ("٣3", "3"), ("K\n9", "k9")],
)
def test_only_latin_letters_and_digits_count_and_case_does_not(text: str, expected: str) -> None:
    assert comparable(text) == expected


@pytest.mark.parametrize(
    ("names", "threads", "message"),
    [
        (
            ["magic"],
            1,
            "ocr: expected one of tesseract, rapidocr, rapidocr-v4, paddleocr, doctr, easyocr, got 'magic'",
        ),
        (["rapidocr", "magic"], 1, "got 'magic'"),  # nothing is loaded before
        (["tesseract", "rapidocr", "tesseract"], 1, "ocr: expected each engine once, got tesseract twice"),
        (["rapidocr"], 0, "threads: expected at least 1, got 0"),
    ],
)
def test_what_is_no_engine_is_refused(names: list[str], threads: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        open_readers(names, threads=threads)


class FakePackage:
    """Stands in for a RapidOCR package: answers what it is told and notes how it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, *, empty: object) -> None:
        self.answer: object = empty
        self.settings: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []
        package = self

        class RapidOCR:
            cfg = SimpleNamespace(Rec=SimpleNamespace(ocr_version=SimpleNamespace(value="PP-OCRv6")))

            def __init__(self, params: dict[str, Any] | None = None, **settings: Any) -> None:
                package.settings = {**(params or {}), **settings}

            def __call__(self, image: np.ndarray, **options: Any) -> object:
                package.asked.append({"shape": image.shape, **options})
                return package.answer

        module = ModuleType(name)
        module.RapidOCR = RapidOCR  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)


def result(texts: tuple[str, ...] | None, scores: tuple[float, ...] | None) -> SimpleNamespace:
    """What rapidocr 3.10 returns."""
    return SimpleNamespace(txts=texts, scores=scores)


V6 = ("rapidocr", "rapidocr", result(None, None))
V4 = ("rapidocr-v4", "rapidocr_onnxruntime", (None, None))


@pytest.mark.parametrize(
    ("engine", "answer", "expected"),
    [
        (V6, result(("door",), (0.5,)), ("door", 0.5)),
        (V6, result(("two ", "words"), (0.25, 0.75)), ("two  words", 0.5)),
        (V6, result(("",), (0.0,)), ("", 0.0)),
        (V6, result((), ()), ("", 0.0)),
        (V6, result(None, None), ("", 0.0)),
        (V4, ([["door", 0.5]], [0.01]), ("door", 0.5)),
        (V4, ([["", 0.0]], [0.01]), ("", 0.0)),
        (V4, ([], [0.01]), ("", 0.0)),
        (V4, (None, None), ("", 0.0)),
    ],
)
def test_the_packages_answers_become_readings(
    monkeypatch: pytest.MonkeyPatch, engine: tuple[str, str, object], answer: object, expected: object
) -> None:
    name, module, empty = engine
    package = FakePackage(monkeypatch, module, empty=empty)
    reader = open_reader(name)
    package.answer = answer
    reading = reader.read(CROP)
    assert tuple(reading) == expected
    assert type(reading.confidence) is float
    assert package.asked[-1] == {"shape": CROP.shape, "use_det": False, "use_cls": False, "use_rec": True}


@pytest.mark.parametrize(
    ("engine", "setting", "version"),
    [
        (V6, "EngineConfig.onnxruntime.intra_op_num_threads", "PP-OCRv6 (RapidOCR "),
        (V4, "intra_op_num_threads", "PP-OCRv4 (RapidOCR "),
    ],
)
def test_threads_reach_the_package_and_the_name_tells_the_model(
    monkeypatch: pytest.MonkeyPatch, engine: tuple[str, str, object], setting: str, version: str
) -> None:
    name, module, empty = engine
    package = FakePackage(monkeypatch, module, empty=empty)
    assert open_reader(name, threads=3).name.startswith(version)
    assert package.settings[setting] == 3


@pytest.mark.parametrize("engine", [V6, V4])
@pytest.mark.parametrize("shape", [(2, 3000), (3000, 2)])
def test_a_strip_that_the_packages_cannot_shrink_is_unread(
    monkeypatch: pytest.MonkeyPatch, engine: tuple[str, str, object], shape: tuple[int, int]
) -> None:
    name, module, empty = engine
    package = FakePackage(monkeypatch, module, empty=empty)
    reader = open_reader(name)
    before = len(package.asked)
    assert reader.read(np.zeros((*shape, 3), np.uint8)) == ("", 0.0)
    assert len(package.asked) == before


@pytest.mark.parametrize(
    ("name", "module"), [("rapidocr", "rapidocr"), ("rapidocr-v4", "rapidocr_onnxruntime")]
)
def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch, name: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    package = module.replace("_", "-")
    with pytest.raises(MissingDependency, match=rf"^{package} is not installed; pip .*stn-deploy\[{name}\]"):
        open_reader(name)


def test_what_installs_both_ways_to_tesseract_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tesserocr", "pytesseract"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency) as refused:
        open_reader("tesseract")
    message = str(refused.value)
    assert message.startswith("Tesseract cannot be used: tesserocr is not installed; pytesseract is not")
    assert message.count("'stn-deploy[ocr]'") == 1


def test_a_package_without_what_it_needs_names_that(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise ModuleNotFoundError("No module named 'colorlog'", name="colorlog")

    monkeypatch.setitem(sys.modules, "rapidocr", Broken("rapidocr"))
    with pytest.raises(MissingDependency, match=r"^colorlog is not installed; pip .*stn-deploy\[rapidocr\]"):
        open_reader("rapidocr")


def opened(name: str) -> Any:
    try:
        return open_reader(name)
    except MissingDependency as error:
        pytest.skip(str(error))


def printed(text: str) -> np.ndarray:
    image = np.full((48, 40 + 24 * len(text), 3), 255, np.uint8)
    cv2.putText(image, text, (20, 35), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2, cv2.LINE_AA)
    return image


@pytest.mark.parametrize("name", READERS)
def test_a_real_engine_reads_a_printed_word(name: str) -> None:
    reading = opened(name).read(printed("Harbour"))
    assert comparable(reading.text) == "harbour"
    assert 0.5 < reading.confidence <= 1


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("shape", [(2, 2), (2, 2200), (2200, 23), (40, 2200), (40, 32_768)])
def test_a_real_engine_takes_crops_of_any_shape(name: str, shape: tuple[int, int]) -> None:
    assert 0 <= opened(name).read(np.full((*shape, 3), 90, np.uint8)).confidence <= 1


def test_tesseract_as_a_program_takes_no_more_pixels_either() -> None:
    try:
        program = TesseractProgram()
    except MissingDependency as error:
        pytest.skip(str(error))
    assert program.read(np.full((2, 32_768, 3), 90, np.uint8)) == ("", 0.0)


@pytest.mark.parametrize("names", [["rapidocr"], ["rapidocr-v4"], ["rapidocr", "rapidocr-v4"]])
def test_real_engines_keep_their_log_to_themselves(names: list[str]) -> None:
    for name in names:
        opened(name)
    program = (
        "import numpy as np; from stn_deploy.runtime.ocr import open_readers\n"
        f"for reader in open_readers({names}): reader.read(np.zeros((32, 99, 3), np.uint8))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
