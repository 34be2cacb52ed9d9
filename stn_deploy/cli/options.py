"""The options of every command that rectifies image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stn_deploy.errors import ArgumentError

_PRECISIONS = {None: None, "fp32": "float32", "int8": "int8"}
Inputs = Annotated[list[str], typer.Argument(help="Images, folders, or patterns such as 'crops/*.jpg'.")]
Model = Annotated[
    Path | None, typer.Option(help="Exported rectifier, or a built engine; the shipped one by default.")
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Of the shipped rectifier: fp32, or int8, which is faster on newer CPUs.  [default: fp32]"
    ),
]
Engine = Annotated[
    str, typer.Option(help="auto, the first that is here of tensorrt, cuda and cpu; or one of these.")
]
Height = Annotated[
    int | None, typer.Option(help="Height of the crops in pixels; the width is natural.  [default: 48]")
]
Size = Annotated[
    str | None, typer.Option(help="Fixed HEIGHTxWIDTH of straightened crops instead, such as 32x100.")
]
Threshold = Annotated[
    float | None, typer.Option(help="Of the score, 0 to 1; 0 straightens always. The model's own by default.")
]
Exif = Annotated[
    bool, typer.Option("--exif", help="Turn photographs by their EXIF orientation first, as viewers do.")
]
MaxMegapixels = Annotated[float, typer.Option(help="Larger images are refused.")]


def parse_precision(text: str | None) -> str | None:
    """What `Rectifier` calls a precision. Raises ArgumentError for what is none that ships."""
    if text not in _PRECISIONS:
        raise ArgumentError(f"--precision: expected fp32 or int8, got {text!r}")
    return _PRECISIONS[text]
