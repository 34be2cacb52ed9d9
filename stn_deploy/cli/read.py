"""``stn-deploy read``: files in, their text before and after rectification out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.cli.common import checked_output, errors, output, parse_size, progress_bar
from stn_deploy.cli.options import Height, Inputs, MaxMegapixels, Model, Size, Threshold
from stn_deploy.errors import ArgumentError


def command(
    inputs: Inputs,
    ocr: Annotated[
        str, typer.Option(help="OCR engine: tesseract, rapidocr (PP-OCRv6) or rapidocr-v4.")
    ] = "tesseract",
    second_opinion: Annotated[
        bool,
        typer.Option(
            "--second-opinion",
            help="The more confident reading counts, the one before where equally sure; else the one after.",
        ),
    ] = False,
    model: Model = None,
    height: Height = None,
    size: Size = None,
    threshold: Threshold = None,
    max_megapixels: MaxMegapixels = 50.0,
    picture: Annotated[
        Path | None, typer.Option(help="Write a PNG file: before and after, side by side, with the texts.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Of the network and of RapidOCR.")] = 1,
    json_: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each file, as soon as it is read.")
    ] = False,
) -> None:
    """Read the text of images, each of one line of text, before and after rectification.

    Exit status: 0 all done, 1 some images could not be used (the others are done), 2 refused.
    """
    from stn_deploy.cli.read_report import ReadReport
    from stn_deploy.data import find_images
    from stn_deploy.runtime import Rectifier
    from stn_deploy.runtime.ocr import open_reader
    from stn_deploy.runtime.ocr.files import read_files

    if not max_megapixels > 0:
        raise ArgumentError(f"--max-megapixels: expected more than 0, got {max_megapixels}")
    found = find_images(inputs)
    if picture is not None:
        checked_output(picture, *(image.path for image in found), suffix=".png")
    rectifier = Rectifier(model, height=height, size=parse_size(size), threshold=threshold, threads=threads)
    reader = open_reader(ocr, threads=threads)
    report = ReadReport(
        engine=reader.name, second_opinion=second_opinion, table=not json_, picture=picture is not None
    )
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(found))
        for reading in read_files(found, rectifier, reader, max_megapixels=max_megapixels):
            line = reading.as_line(second_opinion=second_opinion)
            report.add(reading, line)
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
