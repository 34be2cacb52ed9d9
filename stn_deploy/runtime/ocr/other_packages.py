"""docTR and EasyOCR as readers and detectors: each step alone.

Each takes models that were made with settings of one's own, or makes the package's default ones, whose
weights the package fetches when it has none. None is safe with several threads at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.runtime.ocr.detector import along_text
from stn_deploy.runtime.ocr.packages import as_reading, found
from stn_deploy.runtime.ocr.reader import Reading

Quads = list[NDArray[np.float64]]


class DoctrReader:
    """docTR: single words, for its recognisers know no space; quads around words."""

    def __init__(self, predictor: Any = None, *, detector: Any = None) -> None:
        """Take or make a recogniser.

        Args:
            predictor: of ``doctr.models.recognition_predictor``; its default, with weights, if None.
            detector: of ``doctr.models.detection_predictor``; its default for turned text, with weights, if
                None, made when it is first asked for.
        Raises:
            MissingDependency: no predictor is given, and docTR is not installed.
        """
        if predictor is None:
            make = found("doctr.models", "recognition_predictor", "python-doctr")
            predictor = make(pretrained=True)
        self._predictor = predictor
        self._detector = detector
        self.name = "docTR"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`."""
        return self.read_many([image])[0]

    def read_many(self, images: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """See `BatchReader.read_many`."""
        # docTR takes RGB.
        words = self._predictor([cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images])
        return [as_reading(text, confidence) for text, confidence in words]

    def detect(self, page: NDArray[np.uint8]) -> Quads:
        """See `Detector.detect`; quads of words.

        Raises:
            MissingDependency: the default detector is to be made, and docTR is not installed.
        """
        if self._detector is None:
            make = found("doctr.models", "detection_predictor", "python-doctr")
            self._detector = make(pretrained=True, assume_straight_pages=False)
        (boxes,) = self._detector([cv2.cvtColor(page, cv2.COLOR_BGR2RGB)])
        kinds = boxes.values() if isinstance(boxes, dict) else [boxes]
        quads = [_corners(np.asarray(box, np.float64)) for kind in kinds for box in kind]
        return [along_text(quad * page.shape[1::-1]) for quad in quads]


class EasyOcrReader:
    """EasyOCR: lines of text, one crop at a time; boxes and quads around them."""

    def __init__(self, reader: Any = None) -> None:
        """Take or make a recogniser.

        Args:
            reader: an ``easyocr.Reader``; one for English on the CPU, without a detector, if None. A detector
                that it lacks is made when it is first asked for.
        Raises:
            MissingDependency: none is given, and EasyOCR is not installed.
        """
        if reader is None:
            make = found("easyocr", "Reader", "easyocr")
            reader = make(["en"], gpu=False, detector=False, verbose=False)
        self._reader = reader
        self._detecting = reader if hasattr(reader, "detector") else None
        self.name = "EasyOCR"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`."""
        # Without boxes, it recognises the whole crop.
        lines = self._reader.recognize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        text = " ".join(line[1] for line in lines).strip()
        return as_reading(text, float(np.mean([line[2] for line in lines])) if text else 0.0)

    def detect(self, page: NDArray[np.uint8]) -> Quads:
        """See `Detector.detect`; boxes, and quads of lines that are turned.

        Raises:
            MissingDependency: a detector is to be made, and EasyOCR is not installed.
        """
        if self._detecting is None:
            make = found("easyocr", "Reader", "easyocr")
            self._detecting = make(["en"], gpu=False, recognizer=False, verbose=False)
        # For each page, a list of (left, right, top, bottom), and one of four corners each. It takes RGB.
        level, turned = self._detecting.detect(cv2.cvtColor(page, cv2.COLOR_BGR2RGB))
        boxes = [_corners(np.array([left, top, right, bottom])) for left, right, top, bottom in level[0]]
        return [along_text(quad) for quad in [*boxes, *turned[0]]]


def _corners(box: NDArray[Any]) -> NDArray[np.float64]:
    """Four corners of (left, top, right, bottom, ...), or the first four rows of corners with more below."""
    if box.ndim == 2:
        return np.asarray(box[:4], np.float64)
    left, top, right, bottom = box[:4]
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
