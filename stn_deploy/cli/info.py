"""``stn-deploy info``: what is inside an exported file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.cli.common import output, print_json


def command(
    model: Annotated[
        Path | None, typer.Argument(help="Exported rectifier; the shipped one by default.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show the spec of an exported rectifier."""
    from rich.table import Table

    from stn_deploy.artifact import read_artifact
    from stn_deploy.runtime import DEFAULT_MODEL

    path = DEFAULT_MODEL if model is None else model
    data, spec = read_artifact(path)
    values = {"file": str(path), "bytes": len(data), **dataclasses.asdict(spec)}
    if json_:
        print_json(values)
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        elif isinstance(value, tuple):
            value = " x ".join(str(item) for item in value)
        table.add_row(name, str(value))
    output.print(table)
