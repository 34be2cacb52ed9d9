"""PP-OCR through RapidOCR: its recogniser on crops, its detector on pages. Two releases with two models."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr.detector import along_text
from stn_deploy.runtime.ocr.reader import Reading

_ONLY_RECOGNISE = {"use_det": False, "use_cls": False, "use_rec": True}
_ONLY_DETECT = {"use_det": True, "use_cls": False, "use_rec": False}
_ONLY_CLASSIFY = {"use_det": False, "use_cls": True, "use_rec": False}
_SURELY_TURNED = 0.9
"""How sure RapidOCR has to be that a line stands on its head before it turns it."""
_LONGEST_ASPECT = 100
"""Past about 110, RapidOCR shrinks the short side to nothing and raises."""
_BLANK = np.full((32, 96, 3), 255, np.uint8)


class RapidOcr:
    """PP-OCRv6 small, from the wheel of rapidocr 3.10. Not for use by several threads at once."""

    def __init__(self, *, threads: int) -> None:
        """Args: threads: of ONNX Runtime."""
        settings = {
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        try:
            from rapidocr import RapidOCR

            self._engine: Any = RapidOCR(params=settings)
            # The model loads at the first reading: what it lacks is said now, and its log level holds now.
            self.read(_BLANK)
        except ImportError as error:
            raise MissingDependency.of(_missing(error, "rapidocr"), "rapidocr") from error
        self.name = f"{self._engine.cfg.Rec.ocr_version.value} (RapidOCR {_version('rapidocr')})"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`; a strip a hundred times as long as high counts as unread."""
        if _is_strip(image):
            return Reading("", 0.0)
        result = self._engine(image, **_ONLY_RECOGNISE)
        return _joined(list(zip(result.txts or (), result.scores or (), strict=False)))

    def detect(self, page: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """See `Detector.detect`; quads, as if no line stood on its head; of a strip none."""
        if _is_strip(page):
            return []
        boxes = self._engine(page, **_ONLY_DETECT).boxes
        return [along_text(box) for box in (() if boxes is None else boxes)]

    def shrunk(self, page: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `ShrinkingDetector.shrunk`."""
        return np.asarray(self._engine.preprocess_img(page)[0], np.uint8)

    def is_turned(self, crop: NDArray[np.uint8]) -> bool:
        """See `FacingDetector.is_turned`."""
        if _is_strip(crop):
            return False
        found = self._engine(crop, **_ONLY_CLASSIFY).cls_res
        return bool(found) and _is_turned(*found[0])


class RapidOcrV4:
    """PP-OCRv4, from the wheel of rapidocr-onnxruntime 1.4. Not for use by several threads at once."""

    def __init__(self, *, threads: int) -> None:
        """Args: threads: of ONNX Runtime."""
        try:
            from rapidocr_onnxruntime import RapidOCR
        except ImportError as error:
            package = _missing(error, "rapidocr-onnxruntime")
            raise MissingDependency.of(package, "rapidocr-v4") from error
        self._engine: Any = RapidOCR(intra_op_num_threads=threads, inter_op_num_threads=1)
        self.name = f"PP-OCRv4 (RapidOCR {_version('rapidocr-onnxruntime')})"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`; a strip a hundred times as long as high counts as unread."""
        if _is_strip(image):
            return Reading("", 0.0)
        lines, _ = self._engine(image, **_ONLY_RECOGNISE)
        return _joined([(text, score) for text, score in lines or ()])

    def detect(self, page: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """See `Detector.detect`; quads, as if no line stood on its head; of a strip none."""
        if _is_strip(page):
            return []
        boxes, _ = self._engine(page, **_ONLY_DETECT)
        return [along_text(box) for box in boxes or ()]

    def shrunk(self, page: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `ShrinkingDetector.shrunk`."""
        return np.asarray(self._engine.preprocess(page)[0], np.uint8)

    def is_turned(self, crop: NDArray[np.uint8]) -> bool:
        """See `FacingDetector.is_turned`."""
        if _is_strip(crop):
            return False
        found, _ = self._engine(crop, **_ONLY_CLASSIFY)
        return bool(found) and _is_turned(*found[0])


def _is_turned(label: str, sure: float) -> bool:
    return "180" in label and sure > _SURELY_TURNED


def _is_strip(image: NDArray[np.uint8]) -> bool:
    return max(image.shape[:2]) > _LONGEST_ASPECT * min(image.shape[:2])


def _joined(lines: list[tuple[str, float]]) -> Reading:
    """One reading of all lines; they are as sure as the mean of them."""
    text = " ".join(text for text, _ in lines).strip()
    return Reading(text, float(np.mean([score for _, score in lines])) if text else 0.0)


def _missing(error: ImportError, package: str) -> str:
    """The package that an import did not find: the named one, or one that it needs."""
    name = error.name or package
    return package if name.startswith("rapidocr") else name


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"
