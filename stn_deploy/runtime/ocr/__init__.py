"""OCR engines behind one protocol: a crop in, a reading out. None is imported before it is opened.

reader          the protocol, several crops at once, and what counts when readings are compared
registry        engines by name
tesseract       Tesseract, in this process or as a program
pp_ocr          PP-OCRv6 and PP-OCRv4 through RapidOCR
paddle_models   PaddleOCR
other_packages  docTR and EasyOCR
packages        what their adapters share
any_callable    any function that reads a crop
detector        the protocol of what finds lines on a page, and the order in which one reads them
page_crops      the crop of a line that a pipeline without a rectifier cuts
pages           whole pages: each line as it is cut today, and straightened from the page's own pixels
page_pipeline   RapidOCR's pipeline for whole pages, with rectification before recognition
second_opinion  crops read as they are and straightened, of which the more confident reading counts
"""

from stn_deploy.runtime.ocr.any_callable import CallableReader
from stn_deploy.runtime.ocr.detector import Detector, along_text, reading_order
from stn_deploy.runtime.ocr.other_packages import DoctrReader, EasyOcrReader
from stn_deploy.runtime.ocr.paddle_models import PaddleReader
from stn_deploy.runtime.ocr.page_pipeline import rectifying_rapidocr
from stn_deploy.runtime.ocr.pages import LineReading, PageReading, PlacedWord, read_page, read_regions
from stn_deploy.runtime.ocr.reader import (
    BatchReader,
    Reader,
    Reading,
    Word,
    WordReader,
    comparable,
    is_surer,
    read_many,
)
from stn_deploy.runtime.ocr.registry import READERS, open_reader, open_readers
from stn_deploy.runtime.ocr.second_opinion import SecondOpinion, TwoReadings, read_rectified

__all__ = [
    "READERS",
    "BatchReader",
    "CallableReader",
    "Detector",
    "DoctrReader",
    "EasyOcrReader",
    "LineReading",
    "PaddleReader",
    "PageReading",
    "PlacedWord",
    "Reader",
    "Reading",
    "SecondOpinion",
    "TwoReadings",
    "Word",
    "WordReader",
    "along_text",
    "comparable",
    "is_surer",
    "open_reader",
    "open_readers",
    "read_many",
    "read_page",
    "read_rectified",
    "read_regions",
    "reading_order",
    "rectifying_rapidocr",
]
