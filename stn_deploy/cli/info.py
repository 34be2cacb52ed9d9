"""``stn-deploy info``: what is inside an exported file, or what an engine was built for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from stn_deploy.cli.common import output, print_json


def command(
    model: Annotated[
        Path | None, typer.Argument(help="Exported rectifier or engine; the shipped rectifier by default.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show the spec of an exported rectifier, or the record of an engine."""
    from rich.table import Table

    from stn_deploy.artifact import read_artifact, read_engine, sidecar_of
    from stn_deploy.runtime import DEFAULT_MODEL

    path = DEFAULT_MODEL if model is None else model
    values: dict[str, Any] = {"file": str(path)}
    if sidecar_of(path).exists() or path.suffix == ".engine":
        record = read_engine(path)[1]
        values |= record.to_values()
    else:
        data, spec = read_artifact(path)
        values |= {"bytes": len(data), **dataclasses.asdict(spec)}
    if json_:
        print_json(values)
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    if "engine_format" in values:
        values["spec"] = f"digest {values['spec']['digest']}; all of it with --json"
        values["profile"] = "batch {}, canvas {}".format(*record.profile.texts())
        values["layers"] = [" ".join(map(str, item.values())) for item in record.layers]
    for name, value in values.items():
        table.add_row(name, _text(value))
    output.print(table)


def _text(value: Any) -> str:
    """Mappings as names and values, sizes as 32 x 100, other lists with commas, None as a dash."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        sizes = len(value) == 2 and all(isinstance(side, int) for side in value)
        return (" x " if sizes else ", ").join(_text(item) for item in value)
    return "-" if value is None else str(value)
