"""OCR engines by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.ocr.other_packages import DoctrReader, EasyOcrReader
from stn_deploy.runtime.ocr.paddle_models import PaddleReader
from stn_deploy.runtime.ocr.pp_ocr import RapidOcr, RapidOcrV4
from stn_deploy.runtime.ocr.reader import Reader
from stn_deploy.runtime.ocr.tesseract import open_tesseract

_OPEN: dict[str, Callable[[int], Reader]] = {
    "tesseract": lambda _: open_tesseract(),
    "rapidocr": lambda threads: RapidOcr(threads=threads),
    "rapidocr-v4": lambda threads: RapidOcrV4(threads=threads),
    "paddleocr": lambda threads: PaddleReader(threads=threads),
    "doctr": lambda _: DoctrReader(),
    "easyocr": lambda _: EasyOcrReader(),
}
READERS = tuple(_OPEN)
"""Names of the OCR engines."""


def open_reader(name: str, *, threads: int = 1) -> Reader:
    """The OCR engine of a name.

    Args:
        name: one of `READERS`.
        threads: of the engine, at least 1. Tesseract's are set by the environment, as OMP_THREAD_LIMIT; those
            of docTR and EasyOCR are torch's.
    Raises:
        ArgumentError: an unknown name, or no thread.
        MissingDependency: it is not installed.
    """
    return open_readers([name], threads=threads)[0]


def open_readers(names: Sequence[str], *, threads: int = 1) -> list[Reader]:
    """Several OCR engines; none is loaded before all names are known.

    Args:
        names: of `READERS`, each once.
        threads: of each engine, as in `open_reader`.
    Raises:
        ArgumentError: an unknown name, one that comes twice, or no thread.
        MissingDependency: one is not installed.
    """
    for index, name in enumerate(names):
        if name not in _OPEN:
            raise ArgumentError(f"ocr: expected one of {', '.join(READERS)}, got {name!r}")
        if name in names[:index]:
            raise ArgumentError(f"ocr: expected each engine once, got {name} twice")
    if threads < 1:
        raise ArgumentError(f"threads: expected at least 1, got {threads!r}")
    return [_OPEN[name](threads) for name in names]
