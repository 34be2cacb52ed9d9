"""Checkpoint -> file, through every step that was asked for, compared with torch before it is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from stn_deploy.artifact import RectifierSpec
from stn_deploy.data import write_output
from stn_deploy.errors import ArgumentError
from stn_deploy.export.comparison import Comparison
from stn_deploy.export.crops import Crops
from stn_deploy.export.node import OPSET
from stn_deploy.export.onnx_file import export_rectifier
from stn_deploy.export.passes import Pass, freeze, inline_function, rewrite, strip_function
from stn_deploy.export.passes.freeze import checked_dimensions
from stn_deploy.export.precision import ThetaError, write_in_precision
from stn_deploy.export.tracing import checked_opset
from stn_deploy.export.verification import verify
from stn_deploy.geometry.convention import Size
from stn_deploy.training.checkpoint import load_checkpoint

FUNCTION = ("keep", "inline", "strip")
"""What becomes of the function that defines ThetaGridSample."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How a checkpoint is exported.

    output_size: (height, width) of the full graph's output, pixels; the spec's by default.
    opset: 18 or 19.
    precision: float32, float16 or int8; crops: of the kind that will be rectified, for the latter two.
    largest_error: see `write_in_precision`.
    function: keep, inline or strip. batch, canvas: see `freeze`.
    """

    output_size: Size | None = None
    opset: int = OPSET
    precision: str = "float32"
    crops: Crops | None = None
    largest_error: float | None = None
    function: str = "keep"
    batch: int | None = None
    canvas: Size | None = None

    def __post_init__(self) -> None:
        if self.function not in FUNCTION:
            raise ArgumentError(f"function: expected one of {', '.join(FUNCTION)}, got {self.function!r}")
        checked_opset(self.opset)
        if self.frozen:
            checked_dimensions(self.batch, self.canvas)
        if self.precision != "float32" and self.crops is None:
            raise ArgumentError(f"crops: expected some to measure {self.precision} on, got none")

    @property
    def frozen(self) -> bool:
        """Whether a size is fixed."""
        return self.batch is not None or self.canvas is not None

    @property
    def title(self) -> str:
        """What the file is, if it is not what any export makes: in few words."""
        sizes = {"batch": self.batch, "canvas": self.canvas and "{} x {}".format(*self.canvas)}
        parts = [self.precision, *(f"{name} {size}" for name, size in sizes.items() if size is not None)]
        return ", ".join(parts)


class Exported(NamedTuple):
    """spec: in the file; None where nothing was written, because torch says otherwise.

    theta_error: of lower precision, against float32; None in float32.
    """

    spec: RectifierSpec | None
    theta_error: ThetaError | None


def export_verified(
    checkpoint: Path,
    path: Path,
    settings: ExportSettings,
    *,
    compared: Callable[[list[Comparison], str], object] = lambda *_: None,
) -> Exported:
    """Export a checkpoint and compare the file with it; only what is equal is written.

    Args:
        checkpoint: of a training or of an import. path: of the .onnx file; complete or absent.
        compared: called with comparisons and a title: of the file in float32 with the checkpoint, then of the
            file that will be written, if that is another one, with the network that its own weights make.
    Raises:
        ArgumentError, ArtifactError, DatasetError, OutputError: as the steps `export_rectifier`, `freeze` and
            `write_in_precision`; nothing is written.
    """
    error = None
    with TemporaryDirectory() as folder:
        file = Path(folder, "rectifier.onnx")
        spec = export_rectifier(
            load_checkpoint(checkpoint), file, output_size=settings.output_size, opset=settings.opset
        )
        if not _equal(
            verify(file, checkpoint=checkpoint), "largest difference from the checkpoint", compared
        ):
            return Exported(None, None)
        if settings.precision != "float32" and settings.crops is not None:
            spec, error = write_in_precision(
                file, file, settings.precision, crops=settings.crops, largest_error=settings.largest_error
            )
        if passes := _passes(settings):
            spec = rewrite(file, file, *passes)
        if error or passes:
            title = f"{settings.title}: largest difference from torch"
            found = verify(file)
            if error is not None:
                # Theta was held against the bound that was asked for, on crops of the kind that will be
                # rectified; rendered words may be of another kind. It must be a number all the same.
                found = [replace(item, largest_heights=math.inf) for item in found]
            if not _equal(found, title, compared):
                return Exported(None, error)
        if settings.function == "strip":  # compared while something could still run it
            spec = rewrite(file, file, strip_function)
        data = file.read_bytes()
    write_output(path, data)
    return Exported(spec, error)


def _passes(settings: ExportSettings) -> list[Pass]:
    passes: list[Pass] = [inline_function] if settings.function == "inline" else []
    if settings.frozen:
        passes.append(partial(freeze, batch=settings.batch, canvas=settings.canvas))
    return passes


def _equal(
    comparisons: list[Comparison], title: str, compared: Callable[[list[Comparison], str], object]
) -> bool:
    compared(comparisons, title)
    return all(item.passed for item in comparisons)
