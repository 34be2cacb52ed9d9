"""``stn-deploy export``: checkpoint -> .onnx, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.cli.common import needs, output, parse_size


def command(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.safetensors of stn-deploy train.")],
    to: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the full graph's output.")] = None,
) -> None:
    """Write a rectifier as one .onnx file and compare it with the checkpoint."""
    from stn_deploy.cli.verify import print_comparisons

    with needs("export"):
        from stn_deploy.export import export_rectifier, verify
        from stn_deploy.training import load_checkpoint

    spec = export_rectifier(load_checkpoint(checkpoint), to, output_size=parse_size(size))
    output.print(f"wrote {to} ({to.stat().st_size / 1e6:.2f} MB, digest {spec.digest[:12]})", highlight=False)
    if not print_comparisons(verify(to, checkpoint=checkpoint)):
        raise typer.Exit(1)
