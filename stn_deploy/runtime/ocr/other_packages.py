"""PaddleOCR, docTR and EasyOCR as readers: the recogniser alone, on crops.

Each takes a recogniser that was made with settings of one's own, or makes the package's default one, whose
weights the package fetches when it has none. None is safe with several threads at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr.reader import Reading

_BATCH = 8


class PaddleReader:
    """PaddleOCR 3: lines of text."""

    def __init__(self, model: Any = None) -> None:
        """Take or make a recogniser.

        Args:
            model: a ``paddleocr.TextRecognition``; that of the package's default model if None.
        Raises:
            MissingDependency: none is given, and PaddleOCR 3 is not installed.
        """
        if model is None:
            model = _found("paddleocr", "TextRecognition", "'paddleocr>=3' paddlepaddle")()
        self._model = model
        self.name = "PaddleOCR"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`."""
        return self.read_many([image])[0]

    def read_many(self, images: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """See `BatchReader.read_many`."""
        found = self._model.predict(input=list(images), batch_size=_BATCH)
        return [_reading(each["rec_text"], each["rec_score"]) for each in found]


class DoctrReader:
    """docTR: single words, for its recognisers know no space."""

    def __init__(self, predictor: Any = None) -> None:
        """Take or make a recogniser.

        Args:
            predictor: of ``doctr.models.recognition_predictor``; its default, with weights, if None.
        Raises:
            MissingDependency: none is given, and docTR is not installed.
        """
        if predictor is None:
            make = _found("doctr.models", "recognition_predictor", "python-doctr")
            predictor = make(pretrained=True)
        self._predictor = predictor
        self.name = "docTR"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`."""
        return self.read_many([image])[0]

    def read_many(self, images: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """See `BatchReader.read_many`."""
        # docTR takes RGB.
        found = self._predictor([cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images])
        return [_reading(text, confidence) for text, confidence in found]


class EasyOcrReader:
    """EasyOCR: lines of text, one crop at a time."""

    def __init__(self, reader: Any = None) -> None:
        """Take or make a recogniser.

        Args:
            reader: an ``easyocr.Reader``; one for English on the CPU, without a detector, if None.
        Raises:
            MissingDependency: none is given, and EasyOCR is not installed.
        """
        if reader is None:
            make = _found("easyocr", "Reader", "easyocr")
            reader = make(["en"], gpu=False, detector=False, verbose=False)
        self._reader = reader
        self.name = "EasyOCR"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`."""
        # Without boxes, it recognises the whole crop.
        lines = self._reader.recognize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        text = " ".join(line[1] for line in lines).strip()
        return _reading(text, float(np.mean([line[2] for line in lines])) if text else 0.0)


def _found(module: str, name: str, packages: str) -> Any:
    """A function or class of a package that may not be installed, or not in the release that has it."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        package = module.partition(".")[0]
        missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else None
        what = f"{package} with {name}" if missing is None else missing
        raise MissingDependency(f"{what} is not installed; pip install {packages}") from error


def _reading(text: str, confidence: float) -> Reading:
    """A reading with no more than one text can have: confidences of some packages pass 1 by rounding."""
    sure = float(confidence)
    return Reading(text.strip(), 0.0 if math.isnan(sure) else min(max(sure, 0.0), 1.0))
