"""``stn-deploy bench``: every engine that is here, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stn_deploy.cli.common import errors, output, print_json, print_left_out, progress_bar
from stn_deploy.errors import ArgumentError, ImageError
from stn_deploy.wording import counted

if TYPE_CHECKING:
    from stn_deploy.runtime.bench import Absent, Image, Measured
    from stn_deploy.runtime.bench_engines import Model

_MOST_IMAGES, _MOST_PIXELS = 512, 64_000_000
_BUILT_IN = 256


def command(
    model: Annotated[
        Path | None, typer.Argument(help="Exported rectifier; the shipped one by default.")
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(help="Your own: files, a folder or a pattern, may come again; else drawn words."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images of one call.")] = 64,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Of the engines on the CPU; may come again.  [default: 1, and all cores]"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each engine.")] = 2.0,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Images a second in batches, and milliseconds of one image, from decoded image to straightened crop.

    Engines take turns, so that a busy machine slows all of them alike; what cannot run here says why.
    """
    from stn_deploy.runtime import DEFAULT_MODEL
    from stn_deploy.runtime.bench import Absent, Candidate, measure, turns_of
    from stn_deploy.runtime.bench_engines import Model, open_candidates
    from stn_deploy.runtime.bench_images import built_in_crops
    from stn_deploy.runtime.pipeline import default_workers

    if not 0 < seconds <= 3600:
        raise ArgumentError(f"--seconds: expected more than 0, at most 3600, got {seconds}")
    opened = Model.open(DEFAULT_MODEL if model is None else model)
    pictures = _read(images) if images else built_in_crops(_BUILT_IN)
    numbers = list(dict.fromkeys(threads or (1, default_workers())))
    found = open_candidates(opened, threads=numbers)
    candidates = [each for each in found if isinstance(each, Candidate)]
    absent = [each for each in found if isinstance(each, Absent)]
    with progress_bar(counted=False) as bar:
        task = bar.add_task("measuring", total=turns_of(len(candidates)))
        measured = measure(
            candidates,
            pictures,
            batch=batch,
            seconds=seconds,
            progress=lambda name: bar.update(task, advance=1, description=name),
        )
    results = [*measured, *absent]
    if json_:
        print_json(_as_json(opened, pictures, images, batch, results))
    else:
        _print(opened, pictures, batch, results)


def _read(inputs: list[str]) -> list[Image]:
    """The user's images: as many as fit, from the first on; what cannot be used is said."""
    from stn_deploy.data import find_images, read_image

    found, left_out, pixels = [], [], 0
    files = find_images(inputs)
    for file in files[:_MOST_IMAGES]:
        try:
            image = read_image(file.path)
        except ImageError as error:
            left_out.append(str(error))
            continue
        found.append(image)
        pixels += image.shape[0] * image.shape[1]
        if pixels >= _MOST_PIXELS:
            break
    print_left_out(left_out)
    if not found:
        raise ArgumentError(
            f"--images: expected at least one image that can be used, got {', '.join(inputs)}"
        )
    used = len(found) + len(left_out)
    if used < len(files):
        errors.print(f"measuring on the first {len(found)} of {counted(len(files), 'image')}", style="yellow")
    return found


def _as_json(
    model: Model,
    pictures: list[Image],
    images: list[str] | None,
    batch: int,
    results: list[Measured | Absent],
) -> dict[str, Any]:
    from stn_deploy.runtime.bench import circumstances

    return {
        "model": str(model.path),
        "digest": model.spec.digest,
        "images": {
            "from": images or "built in",
            "count": len(pictures),
            "mean_pixels": sum(image.shape[0] * image.shape[1] for image in pictures) / len(pictures),
        },
        "batch": batch,
        **circumstances(),
        "engines": [each.as_dict() for each in results],
    }


def _print(model: Model, pictures: list[Image], batch: int, results: list[Measured | Absent]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from stn_deploy.runtime.bench import Absent

    title = f"{model.path.name}: {counted(len(pictures), 'image')}, batches of {batch}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("engine: crops", min_width=20)
    for name in ("\nthreads", "\nimages/s", "10 to 90 %,\nthousand/s", "\ntimes", "one,\nms", "99 %,\nms"):
        table.add_column(name, justify="right", no_wrap=True)
    measured = [each for each in results if not isinstance(each, Absent)]
    for each in measured:
        rate, wait = each.images_per_second, each.milliseconds
        table.add_row(
            f"{each.name}: {each.makes}",
            "" if each.threads is None else str(each.threads),
            f"{rate['median']:,.0f}",
            f"{rate['p10'] / 1e3:.2f} to {rate['p90'] / 1e3:.2f}",
            f"{rate['median'] / measured[0].images_per_second['median']:.2f}",
            f"{wait['median']:.2f}",
            f"{wait['p99']:.2f}",
        )
    output.print(table)
    for missing in results:
        if isinstance(missing, Absent):
            output.print(f"not here: {missing.name}: {missing.why}", highlight=False, soft_wrap=True)
