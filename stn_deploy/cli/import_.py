"""``stn-deploy import``: the rectifier of a published recogniser -> checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.cli.common import checked_output, needs, output, parse_size


def command(
    family: Annotated[str, typer.Argument(help="trba, aster, mmocr or paddleocr.")],
    weights: Annotated[
        Path, typer.Argument(help="Its weights: .pth, .pt, .tar, .bin, .safetensors, .pdparams or .npz.")
    ],
    to: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write, .safetensors.")],
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the straightened image; that of the recogniser.")
    ] = None,
    input_size: Annotated[
        str | None,
        typer.Option(
            help="HEIGHTxWIDTH of the images that the recogniser takes, where the file does not tell."
        ),
    ] = None,
) -> None:
    """Take the rectifier out of a published recogniser, for stn-deploy export."""
    checked_output(to, weights, suffix=".safetensors")
    with needs("export"):
        from stn_deploy.export.importing import import_rectifier
        from stn_deploy.training import save_checkpoint

    rectifier = import_rectifier(
        family, weights, input_size=parse_size(input_size, "--input-size"), output_size=parse_size(size)
    )
    save_checkpoint(rectifier, to)
    spec = rectifier.spec
    colours = "grey" if spec.localisation["colours"] == 1 else "colour"
    taken, made = (
        f"{sides[0]} x {sides[1]}" for sides in (spec.input_size or spec.thumbnail_size, spec.output_size)
    )
    prefix = f", found under {spec.recipe['prefix']}" if spec.recipe["prefix"] else ""
    output.print(
        f"{family}: {spec.control_points} control points, {colours} images of {taken}, straightened to "
        f"{made}{prefix}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    output.print(f"wrote {to}", highlight=False, markup=False, soft_wrap=True)
