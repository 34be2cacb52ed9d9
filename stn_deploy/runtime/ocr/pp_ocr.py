"""PP-OCR through RapidOCR: the recogniser alone, on crops. Two releases with two models."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr.reader import Reading

_ONLY_RECOGNISE = {"use_det": False, "use_cls": False, "use_rec": True}
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
