"""``stn-deploy read``: files or whole pages in, their text before and after rectification out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from stn_deploy.cli.common import checked_output, errors, output, parse_size, progress_bar
from stn_deploy.cli.options import (
    Engine,
    Exif,
    Height,
    Inputs,
    MaxMegapixels,
    Model,
    Precision,
    Size,
    Threshold,
    parse_precision,
)
from stn_deploy.errors import ArgumentError

if TYPE_CHECKING:
    from stn_deploy.cli.pages_report import PagesReport
    from stn_deploy.cli.read_report import ReadReport


class _Read(Protocol):
    """What was read in a file or on a page."""

    def as_line(self, *, second_opinion: bool) -> dict[str, Any]: ...


_Reading = TypeVar("_Reading", bound=_Read)


def _collected(
    readings: Iterable[_Reading], add: Callable[[_Reading, dict[str, Any]], None], second_opinion: bool
) -> Iterator[dict[str, Any]]:
    """The JSON line of each reading, which the report has taken in."""
    for reading in readings:
        line = reading.as_line(second_opinion=second_opinion)
        add(reading, line)
        yield line


def command(
    inputs: Inputs,
    ocr: Annotated[
        str,
        typer.Option(
            help="OCR engine: tesseract, rapidocr (PP-OCRv6), rapidocr-v4, paddleocr, doctr or easyocr."
        ),
    ] = "tesseract",
    pages: Annotated[
        bool,
        typer.Option(
            "--pages", help="Files are whole photographs or pages: their lines are found first, then read."
        ),
    ] = False,
    detector: Annotated[
        str | None,
        typer.Option(help="With --pages: the engine that finds the lines.  [default: that of --ocr]"),
    ] = None,
    second_opinion: Annotated[
        bool,
        typer.Option(
            "--second-opinion",
            help="The more confident reading counts, the one before where equally sure; else the one after.",
        ),
    ] = False,
    model: Model = None,
    precision: Precision = None,
    engine: Engine = "auto",
    height: Height = None,
    size: Size = None,
    threshold: Threshold = None,
    exif: Exif = False,
    max_megapixels: MaxMegapixels = 50.0,
    picture: Annotated[
        Path | None,
        typer.Option(help="Write a PNG file: before and after, with the texts; pages with outlines."),
    ] = None,
    threads: Annotated[int, typer.Option(help="Of the network and of RapidOCR.")] = 1,
    json_: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each file, as soon as it is read.")
    ] = False,
) -> None:
    """Read the text of images, each of one line or, with --pages, of many, before and after rectification.

    Exit status: 0 all done, 1 some images could not be used (the others are done), 2 refused.
    """
    from stn_deploy.data import find_images
    from stn_deploy.runtime import Rectifier
    from stn_deploy.runtime.ocr import open_reader

    if detector is not None and not pages:
        raise ArgumentError("--detector: expected --pages with it, for files of one line need none")
    if not max_megapixels > 0:
        raise ArgumentError(f"--max-megapixels: expected more than 0, got {max_megapixels}")
    found = find_images(inputs)
    if picture is not None:
        checked_output(picture, *(image.path for image in found), suffix=".png")
    rectifier = Rectifier(
        model,
        precision=parse_precision(precision),
        engine=engine,
        height=height,
        size=parse_size(size),
        threshold=threshold,
        threads=threads,
    )
    reader = open_reader(ocr, threads=threads)
    reads: Any = {"max_megapixels": max_megapixels, "exif": exif}
    shows = {"second_opinion": second_opinion, "table": not json_, "picture": picture is not None}
    report: PagesReport | ReadReport
    if pages:
        from stn_deploy.cli.pages_report import PagesReport
        from stn_deploy.runtime.ocr.detector import as_detector
        from stn_deploy.runtime.ocr.page_files import read_page_files

        same = detector in (None, ocr)
        finder = as_detector(reader if same else open_reader(str(detector), threads=threads))
        report = pages_report = PagesReport(engine=reader.name, **shows)
        files = read_page_files(found, rectifier, reader, detector=finder, **reads)
        lines = _collected(files, pages_report.add, second_opinion)
    else:
        from stn_deploy.cli.read_report import ReadReport
        from stn_deploy.runtime.ocr.files import read_files

        report = read_report = ReadReport(engine=reader.name, **shows)
        crops = read_files(found, rectifier, reader, **reads)
        lines = _collected(crops, read_report.add, second_opinion)
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(found))
        for line in lines:
            if json_:
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
                sys.stdout.flush()
            bar.advance(task)
    if not json_:
        report.print(output)
    for failure in report.failed:
        errors.print(f"error: {failure}", style="red", markup=False, highlight=False, soft_wrap=True)
    errors.print(report.summary(), highlight=False, soft_wrap=True)
    if picture is not None:
        errors.print(report.write_picture(picture), highlight=False, soft_wrap=True)
    if report.failed:
        raise typer.Exit(1)
