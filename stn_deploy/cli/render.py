"""``stn-deploy render``: rendered words with their true control points, as a labelled set."""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from stn_deploy.cli.common import errors, needs, output, progress_bar
from stn_deploy.wording import counted


def command(
    to: Annotated[
        Path, typer.Option("--output", "-o", help="Absent or empty folder, or an absent file.zip.")
    ],
    count: Annotated[int, typer.Option(min=1, help="Number of pictures.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and fonts give the same set.")] = 0,
    processes: Annotated[int | None, typer.Option(min=1, help="All cores by default.")] = None,
    control_points: Annotated[
        int, typer.Option(min=4, help="Points of each text: half on its top edge, half on its bottom edge.")
    ] = 20,
    words: Annotated[
        Path | None,
        typer.Option(
            help="Text file, one word a line; by default built-in English words, made-up ones and numbers."
        ),
    ] = None,
    fonts: Annotated[
        Path | None, typer.Option(help="Folder of font files; what fontconfig finds by default.")
    ] = None,
    encoding: Annotated[str, typer.Option("--format", help="png, or jpg of quality 95.")] = "png",
) -> None:
    """Render words, bent, turned, tilted and worn, with labels.tsv: text, corners, control points.

    A set to train on, not one to rate an OCR engine by: some pictures are too small or too blurred to be
    read, on purpose.
    """
    with needs("train"):
        from stn_deploy.training.render import RenderSettings, write_set
        from stn_deploy.training.wordlist import find_vocabulary

    vocabulary = find_vocabulary(words=words, fonts=fonts)
    for kind, left_out in (("word", vocabulary.words_left_out), ("font", vocabulary.fonts_left_out)):
        for reason, number in left_out.items():
            errors.print(f"{counted(number, kind)} left out: {reason}", highlight=False)
    settings = RenderSettings(
        vocabulary=vocabulary, count=count, seed=seed, control_points=control_points, encoding=encoding
    )
    started = perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("rendering", total=count)
        write_set(
            to,
            settings,
            processes=processes or os.cpu_count() or 1,
            progress=lambda done: bar.update(task, advance=done),
        )
    seconds = perf_counter() - started
    output.print(
        f"wrote {counted(count, 'word')} from {counted(len(vocabulary.fonts), 'font')} to {to} "
        f"({count / seconds:.0f} words/s)",
        highlight=False,
        soft_wrap=True,
    )
