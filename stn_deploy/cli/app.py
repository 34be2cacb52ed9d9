"""The command line: its subcommands, and how errors reach the user."""

from __future__ import annotations

import sys

import typer

from stn_deploy.cli import (
    bench,
    build,
    evaluate,
    export,
    import_,
    info,
    plugin,
    read,
    rectify,
    render,
    train,
    verify,
)
from stn_deploy.cli.common import errors
from stn_deploy.errors import StnDeployError

app = typer.Typer(
    name="stn-deploy",
    help="Straighten curved, tilted and perspective text in front of any OCR.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("rectify", short_help="Straighten files, folders or patterns.")(rectify.command)
app.command("read", short_help="Text before and after, of files.")(read.command)
app.command("evaluate", short_help="Word accuracy, raw and straightened.")(evaluate.command)
app.command("info", short_help="What is inside an exported rectifier.")(info.command)
app.command("render", short_help="Write a labelled set of rendered words.")(render.command)
app.command("train", short_help="Render words and train a rectifier.")(train.command)
app.command("import", short_help="A published recogniser's rectifier.")(import_.command)
app.command("export", short_help="Checkpoint to .onnx, verified.")(export.command)
app.command("build", short_help=".onnx to an engine for NVIDIA GPUs.")(build.command)
app.add_typer(plugin.app, name="plugin", short_help="The fused kernel as a library for TensorRT.")
app.command("verify", short_help="The same numbers on every path?")(verify.command)
app.command("bench", short_help="Rates of every engine here, side by side.")(bench.command)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from stn_deploy import __version__

        typer.echo(f"stn-deploy {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 done but not for all, 2 refused."""
    try:
        app()
    except StnDeployError as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("stopped", style="red")
        sys.exit(130)
