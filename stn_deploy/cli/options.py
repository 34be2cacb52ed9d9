"""The options of every command that rectifies image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[list[str], typer.Argument(help="Images, folders, or patterns such as 'crops/*.jpg'.")]
Model = Annotated[Path | None, typer.Option(help="Exported rectifier; the shipped one by default.")]
Height = Annotated[
    int | None, typer.Option(help="Height of the crops in pixels; the width is natural.  [default: 48]")
]
Size = Annotated[
    str | None, typer.Option(help="Fixed HEIGHTxWIDTH of straightened crops instead, such as 32x100.")
]
Threshold = Annotated[
    float | None, typer.Option(help="Of the score, 0 to 1; 0 straightens always. The model's own by default.")
]
MaxMegapixels = Annotated[float, typer.Option(help="Larger images are refused.")]
