"""PaddleOCR 3, and 2 where that is installed: its recogniser on crops, its detector on pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr.detector import along_text
from stn_deploy.runtime.ocr.packages import as_reading, found
from stn_deploy.runtime.ocr.reader import Reading

_BATCH = 8
_PACKAGES = "'paddleocr>=3' paddlepaddle"


class PaddleReader:
    """Lines of text; quads around them. Not for use by several threads at once."""

    def __init__(self, model: Any = None, *, detector: Any = None, threads: int | None = None) -> None:
        """Take or make a recogniser; weights that it has not are fetched by the package.

        Args:
            model: a ``paddleocr.TextRecognition`` of PaddleOCR 3, or a ``paddleocr.PaddleOCR`` of
                PaddleOCR 2, which detects, too; that of the package's default model if None.
            detector: a ``paddleocr.TextDetection`` of PaddleOCR 3; the package's default one if None, made
                when it is first asked for.
            threads: on the CPU, of a model that is made here; the package's own number if None.
        Raises:
            MissingDependency: no model is given, and PaddleOCR is not installed.
        """
        self._settings = {} if threads is None else {"cpu_threads": threads}
        self._model = _default_model(self._settings) if model is None else model
        self._detector = detector
        # PaddleOCR 3 predicts; PaddleOCR 2 does not.
        self._old = not hasattr(self._model, "predict")
        self.name = "PaddleOCR"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`."""
        return self.read_many([image])[0]

    def read_many(self, images: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """See `BatchReader.read_many`."""
        if self._old:
            return [self._read_old(image) for image in images]
        lines = self._model.predict(input=list(images), batch_size=_BATCH)
        return [as_reading(each["rec_text"], each["rec_score"]) for each in lines]

    def detect(self, page: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """See `Detector.detect`; quads.

        Raises:
            MissingDependency: the default detector is to be made, and PaddleOCR 3 is not installed.
        """
        if self._old:
            # One list for each page; PaddleOCR before 2.6.1 gave the list of the page itself.
            (boxes, *more) = self._model.ocr(page, det=True, rec=False, cls=False) or [None]
            quads = [boxes, *more] if np.ndim(boxes) == 2 else boxes
        else:
            if self._detector is None:
                self._detector = found("paddleocr", "TextDetection", _PACKAGES)(**self._settings)
            quads = [
                quad
                for each in self._detector.predict(input=[page], batch_size=1)
                for quad in each["dt_polys"]
            ]
        return [along_text(quad) for quad in quads or ()]

    def _read_old(self, image: NDArray[np.uint8]) -> Reading:
        lines = self._model.ocr(image, det=False, rec=True, cls=False)[0]
        text, sure = lines[0] if isinstance(lines, list) else lines
        return as_reading(text, sure)


def _default_model(settings: dict[str, int]) -> Any:
    try:
        return found("paddleocr", "TextRecognition", _PACKAGES)(**settings)
    except MissingDependency:
        try:
            make = found("paddleocr", "PaddleOCR", _PACKAGES)
        except MissingDependency:
            make = None
        if make is None:
            raise
    return make(lang="en", use_angle_cls=False, show_log=False, **settings)
