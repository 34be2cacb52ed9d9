"""``stn-deploy train``: from fonts (and your own crops) to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stn_deploy.cli.common import errors, needs, output
from stn_deploy.cli.train_progress import watching
from stn_deploy.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stn_deploy.training import RealWord, TextWord


def command(
    to: Annotated[Path, typer.Option("--output", "-o", help="Folder for the checkpoint and the journal.")],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="tiny (half a minute), default (2 cores) or large (a GPU).  [default: default]",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="nano or small, instead of the recipe's.", show_default=False)
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Labelled crops, with a quad or points column to learn from; may come again."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Instead of the recipe's.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in the folder.")] = False,
    device: Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")] = "auto",
    processes: Annotated[int | None, typer.Option(min=1, help="For rendering; all cores by default.")] = None,
) -> None:
    """Train a rectifier: render words, then learn their control points.

    Several processes or GPUs: torchrun --nproc-per-node 2 -m stn_deploy.cli train ...
    """
    with needs("train"):
        from stn_deploy.training import find_recipe, train
        from stn_deploy.training.distributed import leads
        from stn_deploy.training.run_folder import RunFolder

    found = RunFolder(to).found() if resume else None
    if found and not (recipe or model or seed is not None):
        settings = found.recipe()
    else:
        settings = find_recipe(recipe or "default", model=model, seed=seed)
    sources = data or [Path(source) for source in (found.sources if found else [])]
    words, texts = _load(sources, with_texts=settings.batch_texts > 0, quiet=not leads())
    with watching(epochs=settings.epochs, shown=leads()) as watcher:
        try:
            result = train(
                settings,
                to,
                words=words,
                texts=texts,
                processes=processes,
                report=watcher.report,
                after_epoch=watcher.after_epoch,
                resume=resume,
                device=device,
                sources=[str(source.resolve()) for source in sources],
            )
        except KeyboardInterrupt:
            if leads() and RunFolder(to).state.exists():
                errors.print(f"stopped; go on with: stn-deploy train --resume -o {to}", highlight=False)
            raise typer.Exit(130) from None
    if not leads():
        return
    if found and found.finished:
        told = f"{to}: this training was finished already; its checkpoint is {result.checkpoint}"
        output.print(told, highlight=False, soft_wrap=True)
    else:
        for name, value in result.metrics.items():
            output.print(f"{name}: {value:.4g}", highlight=False)
        output.print(f"wrote {result.checkpoint}", highlight=False, soft_wrap=True)
    output.print(
        f"next: stn-deploy export {result.checkpoint} -o rectifier.onnx", highlight=False, soft_wrap=True
    )


def _load(sources: list[Path], *, with_texts: bool, quiet: bool) -> tuple[list[RealWord], list[TextWord]]:
    """The words of all datasets, with quads and, where the recipe learns from them, with a text alone."""
    from stn_deploy.data import open_dataset
    from stn_deploy.training import load_real_words, load_text_words

    def tell(source: Path, found: str, left_out: Mapping[str, int]) -> None:
        if not quiet:
            for line in [found, *(f"{count} left out, {reason}" for reason, count in left_out.items())]:
                errors.print(f"{source}: {line}", highlight=False)

    words: list[RealWord] = []
    texts: list[TextWord] = []
    for source in sources:
        with open_dataset(source) as dataset:
            read, left_out = load_text_words(dataset) if with_texts else ([], {})
            if with_texts:
                tell(source, f"{counted(len(read), 'word')} with a text alone", left_out)
            real, left_out = load_real_words(dataset, needed=not read)
        if with_texts:
            left_out.pop("without a quad", None)  # they were told of as texts
        tell(source, f"{counted(len(real), 'word')} with a quad", left_out)
        words, texts = words + real, texts + read
    return words, texts
