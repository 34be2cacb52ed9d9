"""OCR engines behind one protocol: a crop in, a reading out. None is imported before it is opened.

reader     the protocol, and what counts when readings are compared
registry   engines by name
tesseract  Tesseract, in this process or as a program
pp_ocr     PP-OCRv6 and PP-OCRv4 through RapidOCR
"""

from stn_deploy.runtime.ocr.reader import Reader, Reading, comparable
from stn_deploy.runtime.ocr.registry import READERS, open_reader, open_readers

__all__ = ["READERS", "Reader", "Reading", "comparable", "open_reader", "open_readers"]
