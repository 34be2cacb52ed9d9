"""``stn-deploy train``: from fonts (and your own crops) to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.cli.common import errors, needs, output, progress_bar


def command(
    to: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for checkpoint.safetensors, metrics.jsonl.")
    ],
    recipe: Annotated[
        str, typer.Option(help="tiny (half a minute) or default (about 12 minutes on 2 cores).")
    ] = "default",
    data: Annotated[
        list[Path] | None, typer.Option(help="Labelled crops with a quad column; may be given several times.")
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="For rendering; all cores by default.")] = None,
) -> None:
    """Train a rectifier: render words, then learn their control points."""
    from stn_deploy.data import open_dataset

    with needs("train"):
        from stn_deploy.training import find_recipe, load_real_words, train

    settings = find_recipe(recipe)
    words = []
    for path in data or []:
        with open_dataset(path) as dataset:
            loaded, left_out = load_real_words(dataset)
        words += loaded
        errors.print(f"{path}: {len(loaded)} words", highlight=False)
        for reason, count in left_out.items():
            errors.print(f"{path}: {count} left out, {reason}", highlight=False)
    with progress_bar(counted=False) as bar:
        tasks = {}

        def report(phase: str, done: float) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=1.0)
            bar.update(tasks[phase], completed=done)

        result = train(settings, to, words=words, processes=processes, report=report)
    for name, value in result.metrics.items():
        output.print(f"{name}: {value:.4f}", highlight=False)
    output.print(f"wrote {result.checkpoint}", highlight=False, soft_wrap=True)
    output.print(
        f"next: stn-deploy export {result.checkpoint} -o rectifier.onnx", highlight=False, soft_wrap=True
    )
