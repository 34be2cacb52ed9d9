"""``stn-deploy evaluate``: does the rectifier help an OCR engine on labelled crops?"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.cli.common import errors, output, print_json, progress_bar


def command(
    dataset: Annotated[
        Path, typer.Argument(help="Folder or zip with images and labels.tsv (file, text), or an LMDB folder.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="Exported rectifier; the shipped one by default.")
    ] = None,
    ocr: Annotated[str, typer.Option(help="OCR engine: tesseract.")] = "tesseract",
    height: Annotated[int, typer.Option(help="Height of the straightened crops, pixels.")] = 48,
    threshold: Annotated[
        float | None, typer.Option(help="Of the score, 0 to 1; the model's own by default.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many samples, from the start.")] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print all as JSON, each word that changed included.")
    ] = False,
) -> None:
    """Word accuracy (a-z, 0-9, case ignored) on raw and on rectified crops."""
    from itertools import islice

    from rich.table import Table

    from stn_deploy.data import open_dataset
    from stn_deploy.runtime import Rectifier
    from stn_deploy.runtime.evaluation import evaluate
    from stn_deploy.runtime.ocr import open_reader

    reader = open_reader(ocr)
    rectifier = Rectifier(model, height=height, threshold=threshold)
    with open_dataset(dataset) as samples, progress_bar() as bar:
        count = min(len(samples), limit or len(samples))
        task = bar.add_task("reading", total=count)
        result = evaluate(islice(samples, count), rectifier, reader, progress=lambda: bar.advance(task))
    low, high = result.gain_interval()
    summary = {
        "dataset": str(dataset),
        "engine": result.engine,
        "words": len(result.cases),
        "skipped": result.skipped,
        "unreadable": result.unreadable,
        "raw": result.raw_accuracy,
        "rectified": result.rectified_accuracy,
        "gain": result.rectified_accuracy - result.raw_accuracy,
        "gain_interval_95": [low, high],
        "straightened": result.applied,
        "fixed": [dataclasses.asdict(case) for case in result.fixed],
        "broken": [dataclasses.asdict(case) for case in result.broken],
    }
    if json_:
        print_json(summary)
    else:
        table = Table(title=f"{dataset}, {result.engine}")
        for name in ("words", "raw", "rectified", "gain (95 %)", "applied", "fixed", "broken"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_row(
            str(len(result.cases)),
            f"{result.raw_accuracy:.1%}",
            f"{result.rectified_accuracy:.1%}",
            f"{summary['gain']:+.1%} ({low:+.1%}, {high:+.1%})",
            f"{result.applied:.1%}",
            str(len(result.fixed)),
            str(len(result.broken)),
        )
        output.print(table)
        if result.skipped:
            errors.print(f"{result.skipped} samples skipped: their labels hold no letter a-z and no digit")
    for line in result.unreadable:
        errors.print(f"error: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    if result.unreadable:
        raise typer.Exit(1)
