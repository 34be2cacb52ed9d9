"""RapidOCR's pipeline for whole pages, with rectification between detection and recognition."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError, BatchError
from stn_deploy.runtime.ocr.reader import is_surer
from stn_deploy.runtime.rectifier import Rectifier

Engine = TypeVar("Engine")
Crops = list[NDArray[np.uint8]]
_Line = tuple[str, float]
_SMALLEST = 2
"""The rectifier takes no crop with a shorter side, pixels."""


def rectifying_rapidocr(engine: Engine, rectifier: Rectifier, *, second_opinion: bool = False) -> Engine:
    """An engine like the given one that straightens what it detects before it recognises it.

    A drop-in: it is called as before, and gives what it gave before, with the boxes of the detector in pixels
    of the page. The given engine stays as it is; models that it has loaded are shared.

    Args:
        engine: a ``RapidOCR`` of rapidocr 3.10 or rapidocr-onnxruntime 1.4.
        rectifier: chooses which crops are straightened, and how high they become; 48 pixels, the default, is
            what PP-OCR takes.
        second_opinion: recognise straightened crops raw, too; the more confident text counts, the raw one
            where both are equally sure.
    Raises:
        ArgumentError: not such an engine, or one that rectifies already. When called: boxes of words or
            letters are asked for, which RapidOCR would measure in the raw crop.
    """
    own = copy.copy(engine)
    attributes: dict[str, Any] = vars(own)
    if any(isinstance(step, (_Recogniser, _RecogniserV4)) for step in attributes.values()):
        raise ArgumentError("engine: expected one that does not rectify yet, got one that does")
    if callable(getattr(own, "recognize_txt", None)):
        attributes["recognize_txt"] = _Recogniser(own, rectifier, second_opinion)
    elif callable(attributes.get("text_rec")):
        attributes["text_rec"] = _RecogniserV4(attributes["text_rec"], rectifier, second_opinion)
    else:
        raise ArgumentError(
            "engine: expected a RapidOCR of rapidocr 3.10 or rapidocr-onnxruntime 1.4, got "
            f"{type(engine).__module__}.{type(engine).__qualname__} without their steps; any other OCR reads "
            "what Rectifier gives"
        )
    return own


class _Recogniser:
    """The step ``recognize_txt`` of rapidocr 3.10: crops in, a ``TextRecOutput`` out."""

    def __init__(self, engine: Any, rectifier: Rectifier, second_opinion: bool) -> None:
        self._engine = engine
        self._recognise: Callable[[Crops], Any] = engine.recognize_txt
        self._rectifier = rectifier
        self._second_opinion = second_opinion

    def __call__(self, img: Crops) -> Any:
        _refuse_word_boxes(self._engine.return_word_box)
        prepared = _Prepared(self._rectifier, img, self._second_opinion)
        found = self._recognise(prepared.crops)
        chosen = prepared.chosen(list(zip(found.txts, found.scores, strict=True)))
        return replace(
            found,
            **{
                name: type(values)(values[index] for index in chosen)
                for name in ("imgs", "txts", "scores", "word_results")
                if (values := getattr(found, name)) is not None
            },
        )


class _RecogniserV4:
    """The step ``text_rec`` of rapidocr-onnxruntime 1.4: crops in, [text, confidence] of each out."""

    def __init__(self, recognise: Callable[..., Any], rectifier: Rectifier, second_opinion: bool) -> None:
        self._recognise = recognise
        self._rectifier = rectifier
        self._second_opinion = second_opinion

    def __call__(
        self, img_list: NDArray[np.uint8] | Crops, return_word_box: bool = False
    ) -> tuple[list[Any], float]:
        _refuse_word_boxes(return_word_box)
        crops = [img_list] if isinstance(img_list, np.ndarray) else img_list
        prepared = _Prepared(self._rectifier, crops, self._second_opinion)
        found, seconds = self._recognise(prepared.crops, return_word_box)
        return [found[index] for index in prepared.chosen([(line[0], line[1]) for line in found])], seconds

    def __getattr__(self, name: str) -> Any:
        """Settings of the step itself."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._recognise, name)


class _Prepared:
    """What is recognised of detected crops.

    crops: each detected crop, straightened where that helps; after them, for a second opinion, those crops
    once more as they came.
    """

    def __init__(self, rectifier: Rectifier, detected: Sequence[NDArray[np.uint8]], twice: bool) -> None:
        self._count = len(detected)
        self.crops: Crops = list(detected)
        usable = [index for index, crop in enumerate(detected) if min(crop.shape[:2]) >= _SMALLEST]
        results = rectifier([detected[index] for index in usable])
        straightened = [
            (index, result) for index, result in zip(usable, results, strict=True) if result.applied
        ]
        for index, result in straightened:
            self.crops[index] = result.image
        self._again = [index for index, _ in straightened] if twice else []
        self.crops += [detected[index] for index in self._again]

    def chosen(self, lines: Sequence[_Line]) -> list[int]:
        """Which line of text counts for each detected crop.

        Args:
            lines: text and confidence of each of ``crops``.
        Raises:
            BatchError: of more or fewer.
        """
        if len(lines) != len(self.crops):
            raise BatchError(
                f"RapidOCR: expected {len(self.crops)} lines, one for each crop, got {len(lines)}; "
                "rapidocr 3.10 and rapidocr-onnxruntime 1.4 give them"
            )
        chosen = list(range(self._count))
        for offset, index in enumerate(self._again):
            raw = self._count + offset
            if not is_surer(lines[index][1], lines[raw][1]):
                chosen[index] = raw
        return chosen


def _refuse_word_boxes(asked: bool) -> None:
    if asked:
        raise ArgumentError(
            "return_word_box: expected False, since RapidOCR would measure the words in the crop before "
            "rectification, got True; pass False, the boxes of lines are right"
        )
