"""``stn-deploy verify``: the same numbers on every path?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from stn_deploy.cli.common import needs, output, print_json

if TYPE_CHECKING:
    from stn_deploy.export import Comparison


def command(
    model: Annotated[
        Path | None, typer.Argument(help="Exported rectifier; the shipped one by default.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="What it was exported from, to compare with that.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Compare torch, the full graph and the split CPU path; exit status 1 beyond tolerance."""
    from stn_deploy.runtime import DEFAULT_MODEL

    with needs("export"):
        from stn_deploy.export import verify

    comparisons = verify(DEFAULT_MODEL if model is None else model, checkpoint=checkpoint)
    if json_:
        print_json([{**dataclasses.asdict(item), "passed": item.passed} for item in comparisons])
        passed = all(item.passed for item in comparisons)
    else:
        passed = print_comparisons(comparisons)
    if not passed:
        raise typer.Exit(1)


def print_comparisons(comparisons: Sequence[Comparison]) -> bool:
    """Print the differences from torch, and below them the largest; whether all are within tolerance."""
    table = Table(title="largest difference from torch")
    for name in ("path", "batch", "canvas", "theta", "score", "pixels\nof 255", "verdict"):
        table.add_column(name, justify="left" if name in ("path", "verdict") else "right", no_wrap=True)
    for item in comparisons:
        canvas = f"{item.canvas[0]} x {item.canvas[1]}"
        numbers = (f"{item.theta:.1e}", f"{item.score:.1e}", f"{item.pixels:.3f}")
        table.add_row(_short(item), str(item.batch), canvas, *numbers, "ok" if item.passed else "TOO FAR")
    output.print(table)
    far = [f"{_short(item)} (batch {item.batch})" for item in comparisons if not item.passed]
    theta, score, pixels = (
        max((getattr(item, name) for item in comparisons), key=_nan_last)
        for name in ("theta", "score", "pixels")
    )
    verdict = f"beyond tolerance: {', '.join(far)}" if far else "all within tolerance"
    worst = f"theta {theta:.1e}, score {score:.1e}, pixels {pixels:.3f} of 255"
    output.print(f"at most {worst}: {verdict}", highlight=False, soft_wrap=True)
    return not far


def _short(item: Comparison) -> str:
    """The path without the names of its engines: full graph, split."""
    return item.path.rpartition(", ")[2]


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value
