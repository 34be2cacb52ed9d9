"""``stn-deploy export``: checkpoint -> .onnx, verified, in the precision that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stn_deploy.cli.common import (
    checked_output,
    errors,
    needs,
    output,
    parse_size,
    print_left_out,
    progress_bar,
)
from stn_deploy.errors import ArgumentError
from stn_deploy.wording import counted

if TYPE_CHECKING:
    from stn_deploy.artifact import RectifierSpec
    from stn_deploy.export.crops import Crops
    from stn_deploy.export.precision import ThetaError


def command(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.safetensors of stn-deploy train.")],
    to: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the full graph's output.")] = None,
    precision: Annotated[
        str, typer.Option(help="Of the localisation network: fp32, fp16, or int8, which needs --calibration.")
    ] = "fp32",
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Crops, as for evaluate, or a folder of pictures: int8 is set by them, both measured."
        ),
    ] = None,
    max_theta_error: Annotated[
        float | None,
        typer.Option(
            help="Text heights that 99 % of the control points may move; 0.01 for fp16, 0.1 for int8."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Fix the number of images, for engines that want static shapes.")
    ] = None,
    canvas: Annotated[
        str | None, typer.Option(help="Fix HEIGHTxWIDTH of the padded canvas, likewise.")
    ] = None,
    opset: Annotated[int, typer.Option(help="18 or 19.")] = 18,
    function: Annotated[
        str,
        typer.Option(
            help="keep; inline, for engines without functions; strip, for the plugin before TensorRT 10.7."
        ),
    ] = "keep",
) -> None:
    """Write a rectifier as one .onnx file, once it is equal to the checkpoint.

    A lower precision is measured against float32 on crops, and refused where control points move too far.
    """
    from stn_deploy.cli.verify import print_comparisons

    checked_output(to, checkpoint, calibration, suffix=".onnx")
    with needs("export"):
        from stn_deploy.export.precision import checked_bound, checked_precision
        from stn_deploy.export.verified import ExportSettings, export_verified
        from stn_deploy.training import load_checkpoint

    kind = checked_precision(precision)
    _check_options(kind, calibration, max_theta_error)
    if max_theta_error is not None:
        checked_bound(max_theta_error)
    settings = ExportSettings(
        output_size=parse_size(size),
        opset=opset,
        precision=kind,
        crops=None if kind == "float32" else _crops(calibration, load_checkpoint(checkpoint).spec, kind),
        largest_error=max_theta_error,
        function=function,
        batch=batch,
        canvas=parse_size(canvas, "--canvas"),
    )
    spec, error = export_verified(checkpoint, to, settings, compared=print_comparisons)
    if error is not None:
        _print_error(kind, error)
    if spec is None:
        errors.print(f"{to}: not written, for it is not what the checkpoint computes", style="red")
        raise typer.Exit(1)
    if function == "strip":
        output.print("the function is stripped: only an engine with the plugin runs the file")
    output.print(f"wrote {to} ({to.stat().st_size / 1e6:.2f} MB, digest {spec.digest[:12]})", highlight=False)


def _check_options(precision: str, calibration: Path | None, bound: float | None) -> None:
    if precision == "float32":
        for name, value in (("--calibration", calibration), ("--max-theta-error", bound)):
            if value is not None:
                raise ArgumentError(
                    f"{name}: expected only with --precision fp16 or int8, got {value} with fp32"
                )
    if precision == "int8" and calibration is None:
        raise ArgumentError(
            "--precision int8: expected --calibration with some hundred crops like those that will be "
            "rectified, got none; stn-deploy render -o words makes some"
        )


def _crops(calibration: Path | None, spec: RectifierSpec, precision: str) -> Crops:
    """The crops of the dataset; rendered ones where none is named."""
    from stn_deploy.export.crops import crops_of, load_crops
    from stn_deploy.export.verification import verification_images

    if calibration is None:
        return crops_of(verification_images(), spec)
    with progress_bar() as bar:
        task = bar.add_task("reading crops", total=None)
        crops, unusable = load_crops(
            calibration, spec, progress=lambda done, count: bar.update(task, completed=done, total=count)
        )
    print_left_out(unusable)
    if precision == "int8":
        crops.halves()  # too few are told before anything is exported
    return crops


def _print_error(precision: str, error: ThetaError) -> None:
    from rich.table import Table

    table = Table(title=f"control points of {precision}")
    for name in ("distance from float32 in", "mean", "99 %", "worst"):
        table.add_column(name, justify="left" if name.endswith("in") else "right")
    for name, spread in (("source pixels", error.pixels), ("text heights", error.heights)):
        table.add_row(name, f"{spread.mean:.4f}", f"{spread.p99:.4f}", f"{spread.worst:.4f}")
    output.print(table)
    output.print(
        f"measured on {counted(error.crops, 'crop')}; of {error.flips:.1%} the gate decides otherwise",
        highlight=False,
        soft_wrap=True,
    )
