"""``stn-deploy rectify``: files in, straightened files out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.cli.common import errors, output, parse_size, print_json, progress_bar
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
from stn_deploy.wording import counted

_TABLE_UP_TO = 40


def command(
    inputs: Inputs,
    to: Annotated[Path, typer.Option("--output", "-o", help="Folder for the crops and rectified.jsonl.")],
    model: Model = None,
    precision: Precision = None,
    engine: Engine = "auto",
    height: Height = None,
    size: Size = None,
    threshold: Threshold = None,
    exif: Exif = False,
    max_megapixels: MaxMegapixels = 50.0,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also write sheet.png: before and after.")] = False,
    read: Annotated[
        str,
        typer.Option(
            help="Show the text before and after: tesseract, rapidocr, rapidocr-v4, paddleocr, doctr, "
            "easyocr, none, or auto (tesseract where it is installed)."
        ),
    ] = "none",
    threads: Annotated[
        int | None,
        typer.Option(help="That read, straighten and write files.  [default: one for each core, at most 4]"),
    ] = None,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Go on with an earlier run, also one that was killed: what it has done is left alone, "
            "unless the file, the settings or the model changed since.",
        ),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Straighten images; those that need it not are copied as they are.

    Ctrl-C keeps and lists what is finished; --skip-existing goes on from there.

    Exit status: 0 all done, 1 some images could not be used (the others are done), 2 refused.
    """
    from stn_deploy.cli.rectify_report import Report
    from stn_deploy.data import find_images
    from stn_deploy.runtime import Rectifier
    from stn_deploy.runtime.folder import LINES, SHEET, FileResult, other_images, rectify_files
    from stn_deploy.runtime.ocr import READERS
    from stn_deploy.runtime.pipeline import checked_workers

    if read not in ("none", "auto", *READERS):
        raise ArgumentError(f"--read: expected {', '.join(READERS)}, auto or none, got {read!r}")
    if max_megapixels <= 0:
        raise ArgumentError(f"--max-megapixels: expected more than 0, got {max_megapixels}")
    workers = checked_workers(threads, "--threads")
    found = find_images(inputs, leave_out=to)
    if sheet and any(image.relative.with_suffix(".png") == Path(SHEET) for image in found):
        raise ArgumentError("--sheet: would write over the result of an input named sheet; rename that input")
    rectifier = Rectifier(
        model,
        precision=parse_precision(precision),
        engine=engine,
        height=height,
        size=parse_size(size),
        threshold=threshold,
        exif=exif,
    )
    report = Report(
        read=read, sheet=sheet, rows=_TABLE_UP_TO if len(found) <= _TABLE_UP_TO else 0, keep=json_
    )
    with progress_bar(rate_of="images") as bar:

        def begun(skipped: int) -> None:
            bar.add_task("straightening", total=len(found), completed=skipped)

        def done(result: FileResult) -> None:
            report.add(result)
            if result.kept is None:
                bar.advance(bar.task_ids[0])

        try:
            failures = rectify_files(
                found,
                rectifier,
                to,
                max_megapixels=max_megapixels,
                workers=workers,
                skip_existing=skip_existing,
                begun=begun,
                done=done,
            )
        except KeyboardInterrupt:
            errors.print(
                f"what is finished is in {to} and listed in {LINES}; --skip-existing goes on from there",
                highlight=False,
                soft_wrap=True,
            )
            raise
    if sheet:
        report.write_sheet(to / SHEET)
    if json_:
        print_json(report.lines)
    else:
        report.print(output)
    for line in report.failed:
        errors.print(f"error: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    errors.print(f"{report.summary()}; crops and {LINES} are in {to}", highlight=False, soft_wrap=True)
    others = other_images(to, report.outputs, inputs=found)
    if others:
        errors.print(
            f"warning: {to} holds {counted(others, 'other image')}, which {LINES} does not list; name "
            "another folder to keep runs apart",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    if failures:
        raise typer.Exit(1)
