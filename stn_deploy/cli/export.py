"""``stn-deploy export``: checkpoint -> .onnx, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.cli.common import needs, output, parse_size
from stn_deploy.errors import ArgumentError

FUNCTION = ("keep", "inline", "strip")
"""What becomes of the function that defines ThetaGridSample."""


def command(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.safetensors of stn-deploy train.")],
    to: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the full graph's output.")] = None,
    function: Annotated[
        str,
        typer.Option(
            help="keep; inline, for engines without functions; strip, for the plugin before TensorRT 10.7."
        ),
    ] = "keep",
) -> None:
    """Write a rectifier as one .onnx file and compare it with the checkpoint."""
    from stn_deploy.cli.verify import print_comparisons

    with needs("export"):
        from stn_deploy.export import export_rectifier, verify
        from stn_deploy.export.passes import inline_function, rewrite, strip_function
        from stn_deploy.training import load_checkpoint

    if function not in FUNCTION:
        raise ArgumentError(f"--function: expected one of {', '.join(FUNCTION)}, got {function!r}")
    spec = export_rectifier(load_checkpoint(checkpoint), to, output_size=parse_size(size))
    if function == "inline":
        spec = rewrite(to, to, inline_function)
    equal = print_comparisons(verify(to, checkpoint=checkpoint))
    if function == "strip":  # compared while something could still run it
        spec = rewrite(to, to, strip_function)
        output.print("the function is stripped: only an engine with the plugin runs the file from now on")
    output.print(f"wrote {to} ({to.stat().st_size / 1e6:.2f} MB, digest {spec.digest[:12]})", highlight=False)
    if not equal:
        raise typer.Exit(1)
