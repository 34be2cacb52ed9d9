"""``stn-deploy verify``: the same numbers on every path?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from stn_deploy.cli.common import errors, expect_model, needs, output, print_json, print_left_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stn_deploy.export import Comparison

_CROPS = 64
"""Crops of a dataset that are compared, spread evenly."""


def command(
    model: Annotated[
        Path | None, typer.Argument(help="Exported rectifier; the shipped one by default.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="What it was exported from, to compare with that.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Crops to compare on, as for evaluate, or a folder of pictures; else rendered ones."
        ),
    ] = None,
    engine: Annotated[
        list[Path] | None,
        typer.Option(help="Engine built from the model; may come again. Those beside the model come anyway."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Compare every path through an exported file with torch; exit status 1 beyond tolerance.

    The full graph in ONNX Runtime, on the CPU and on the GPU it has, the split CPU path, and built engines;
    at several sizes of batch and canvas, on crops, and with hostile thetas: folded, far outside, NaN.
    """
    from stn_deploy.runtime import DEFAULT_MODEL

    with needs("export"):
        from stn_deploy.export import verify

    path = DEFAULT_MODEL if model is None else model
    expect_model(path)
    images = None if data is None else _images(data)
    engines = _engines(path, engine or [])
    comparisons = verify(path, checkpoint=checkpoint, images=images, engines=engines)
    if json_:
        print_json([_values(item) for item in comparisons])
        passed = all(item.passed for item in comparisons)
    else:
        passed = print_comparisons(comparisons)
    if not passed:
        raise typer.Exit(1)


def _engines(model: Path, given: list[Path]) -> list[Path]:
    """The engines that can run here. One that is named and cannot is an error, one that is found a remark."""
    from stn_deploy.runtime.engines.engine_file import engines_beside, open_engine

    found = engines_beside(model, given)  # refuses one of another model
    for path in given:
        open_engine(path)
    for each in found:
        if each.refused is not None:
            errors.print(f"not compared: {each.refused}", style="yellow", markup=False, soft_wrap=True)
    return [each.path for each in found if each.refused is None]


def _images(data: Path) -> list[NDArray[np.uint8]]:
    from stn_deploy.export.crops import read_images

    unusable: list[str] = []
    images = list(read_images(data, most=_CROPS, unusable=unusable))
    print_left_out(unusable)
    return images


def print_comparisons(
    comparisons: Sequence[Comparison], title: str = "largest difference from torch"
) -> bool:
    """Print differences, and below them the largest; whether all are within tolerance."""
    table = Table(title=title)
    for name in ("path", "batch", "canvas", "theta", "source\npixels", "pixels\nof 255", "verdict"):
        table.add_column(name, justify="left" if name in ("path", "verdict") else "right", no_wrap=True)
    for item in comparisons:
        canvas = f"{item.canvas[0]} x {item.canvas[1]}"
        theta = ("hostile", "") if item.theta is None else (f"{item.theta:.1e}", _number(item.theta_pixels))
        verdict = "ok" if item.passed else "TOO FAR"
        table.add_row(_short(item), str(item.batch), canvas, *theta, f"{item.pixels:.3f}", verdict)
    output.print(table)
    far = dict.fromkeys(f"{_short(item)} (batch {item.batch})" for item in comparisons if not item.passed)
    worst = {
        name: max((getattr(item, name) or 0.0 for item in comparisons), key=_nan_last)
        for name in ("theta", "theta_pixels", "theta_heights", "score", "pixels")
    }
    output.print(
        "at most theta {theta:.1e}, {theta_pixels:.1e} source pixels, score {score:.1e}, "
        "{pixels:.3f} of 255".format(**worst),
        highlight=False,
        soft_wrap=True,
    )
    if comparisons[0].precision != "float32":
        output.print(
            "99 % of the control points of a batch within {theta_heights:.3f} text heights".format(**worst),
            highlight=False,
            soft_wrap=True,
        )
    verdict = f"beyond tolerance: {', '.join(far)}" if far else "all within tolerance"
    output.print(f"{verdict} ({comparisons[0].tolerance})", highlight=False, soft_wrap=True)
    return not far


def _values(item: Comparison) -> dict[str, Any]:
    """A comparison for JSON, which knows no NaN: null where it did not pass."""
    values = {**dataclasses.asdict(item), "passed": item.passed}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _short(item: Comparison) -> str:
    """The path without the names of its engines: full graph, split."""
    return item.path.rpartition(", ")[2]


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value
