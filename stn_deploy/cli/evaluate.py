"""``stn-deploy evaluate``: does the rectifier help OCR engines on labelled crops?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stn_deploy.cli.common import errors, output, print_json, progress_bar
from stn_deploy.cli.options import Engine, Model, Precision, parse_precision
from stn_deploy.errors import ArgumentError, OutputError
from stn_deploy.wording import counted

if TYPE_CHECKING:
    from stn_deploy.runtime.evaluation import Evaluation


def command(
    dataset: Annotated[
        Path, typer.Argument(help="Folder or zip with images and labels.tsv (file, text), or an LMDB folder.")
    ],
    model: Model = None,
    precision: Precision = None,
    engine: Engine = "auto",
    ocr: Annotated[
        list[str] | None,
        typer.Option(
            help="OCR engine: tesseract (the default), rapidocr (PP-OCRv6), rapidocr-v4, paddleocr, doctr or "
            "easyocr; may come again."
        ),
    ] = None,
    height: Annotated[int, typer.Option(help="Height of the straightened crops, pixels.")] = 48,
    threshold: Annotated[
        float | None, typer.Option(help="Of the score, 0 to 1; the model's own by default.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many samples, from the start.")] = None,
    threads: Annotated[int, typer.Option(help="Of the network and of RapidOCR.")] = 1,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML file with the table and each word that changed.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print all as JSON, each word that changed included.")
    ] = False,
) -> None:
    """Word accuracy (a-z, 0-9, case ignored) on raw and on straightened crops.

    The second opinion is the more confident of both readings.
    Exit status: 0 all done, 1 some crops could not be used (the others count), 2 refused.
    """
    from itertools import islice

    from stn_deploy import __version__
    from stn_deploy.data import open_dataset
    from stn_deploy.runtime import DEFAULT_MODEL, Rectifier
    from stn_deploy.runtime.evaluation import evaluate
    from stn_deploy.runtime.ocr import open_readers
    from stn_deploy.runtime.report import EvaluationReport

    if report is not None and report.is_dir():
        raise ArgumentError(
            f"--report: expected a file to write, such as report.html, got the folder {report}"
        )
    if report is not None and not report.parent.is_dir():
        raise ArgumentError(f"--report: expected a file in a folder that exists, got {report}")
    readers = open_readers(ocr or ["tesseract"], threads=threads)
    rectifier = Rectifier(
        model,
        precision=parse_precision(precision),
        engine=engine,
        height=height,
        threshold=threshold,
        threads=threads,
    )
    page = EvaluationReport()
    with open_dataset(dataset) as samples, progress_bar() as bar:
        count = min(len(samples), limit or len(samples))
        task = bar.add_task("reading", total=count)
        results = evaluate(
            islice(samples, count),
            rectifier,
            readers,
            progress=lambda: bar.advance(task),
            changed=page.add if report is not None else lambda *_: None,
        )
    if json_:
        print_json(_as_json(dataset, results))
    else:
        _print_table(dataset, results)
    unreadable = results[0].unreadable
    for line in unreadable:
        errors.print(f"error: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    if report is not None:
        made_with = (
            f"model {(model or DEFAULT_MODEL).name}, {rectifier.spec.precision}, "
            f"digest {rectifier.spec.digest[:12]}, threshold {rectifier.threshold:.4g}, "
            f"stn-deploy {__version__}"
        )
        _write(report, page.html(dataset.resolve().name, results, made_with=made_with))
    if unreadable:
        raise typer.Exit(1)


def _as_json(dataset: Path, results: list[Evaluation]) -> dict[str, Any]:
    first = results[0]
    engines = [
        {
            "engine": result.engine,
            "raw": result.raw_accuracy,
            "rectified": result.rectified.as_dict(),
            "second_opinion": result.second_opinion.as_dict(),
        }
        for result in results
    ]
    return {
        "dataset": str(dataset),
        "words": len(first.cases),
        "straightened": first.applied,
        "skipped": first.skipped,
        "unreadable": first.unreadable,
        "engines": engines,
    }


def _print_table(dataset: Path, results: list[Evaluation]) -> None:
    from rich.table import Table

    from stn_deploy.runtime.report import skipped, with_gain

    first = results[0]
    table = Table(title=f"{dataset}: {counted(len(first.cases), 'word')}, {first.applied:.1%} straightened")
    table.add_column("engine")
    for name in ("raw", "straightened,\ngain (95 %)", "second opinion,\ngain (95 %)", "fixed", "broken"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            result.engine,
            f"{result.raw_accuracy:.1%}",
            "\n".join(with_gain(result.rectified)),
            "\n".join(with_gain(result.second_opinion)),
            str(len(result.rectified.fixed)),
            str(len(result.rectified.broken)),
        )
    output.print(table)
    if first.skipped:
        errors.print(skipped(first), highlight=False)


def _write(path: Path, page: bytes) -> None:
    from stn_deploy.data import write_whole

    try:
        write_whole(path, page)
    except OSError as error:
        raise OutputError(f"{path}: the report cannot be written: {error.strerror}") from error
    errors.print(f"the words that changed are shown in {path}", highlight=False, soft_wrap=True)
