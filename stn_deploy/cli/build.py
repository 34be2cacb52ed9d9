"""``stn-deploy build``: .onnx -> engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stn_deploy.cli.build_progress import watching
from stn_deploy.cli.common import expect_model, needs, output, print_json
from stn_deploy.errors import ArgumentError, OutputError

if TYPE_CHECKING:
    from stn_deploy.export.engine import BuildSettings

BACKENDS = ("tensorrt", "tensorrt-rtx", "onnxruntime")


def command(
    model: Annotated[Path, typer.Argument(help="Exported .onnx file.")],
    to: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The engine to write; its record goes beside it, with .json."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="tensorrt, tensorrt-rtx, or onnxruntime for the options of its TensorRT provider.  "
            "[default: the one that is installed, tensorrt first]",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Images: MIN:OPT:MAX, or one number.  [default: 1:16:64]")
    ] = None,
    canvas: Annotated[
        str | None,
        typer.Option(
            help="HEIGHTxWIDTH of the padded canvas: MIN:OPT:MAX, or one size.  "
            "[default: 32x32:64x256:256x1024]"
        ),
    ] = None,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(help="GPU to build for, such as 8.6; may come again. TensorRT-RTX, on any machine."),
    ] = None,
    plugin: Annotated[
        str, typer.Option(help="auto, on or off: the fused kernel in TensorRT; see stn-deploy plugin.")
    ] = "auto",
    plugin_library: Annotated[Path | None, typer.Option(help="The compiled plugin to use.")] = None,
    workspace: Annotated[
        int | None, typer.Option(help="MiB of scratch memory that a layer may use.  [default: no limit]")
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(help="Measured kernel times, read and written back. TensorRT.")
    ] = None,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="Also for other GPUs of 8.0 or newer. TensorRT.")
    ] = False,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="Also for newer versions of TensorRT.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Build an engine for NVIDIA GPUs, and beside it a record of what it was built for.

    TensorRT builds for the GPU of this machine. TensorRT-RTX builds on a machine without one, for any GPU.
    """
    with needs("tensorrt"):
        from stn_deploy.artifact import Profile
        from stn_deploy.export.engine import BuildSettings, build_engine
        from stn_deploy.runtime.engines.libraries import find_any_library, find_library

    if backend is not None and backend not in BACKENDS:
        raise ArgumentError(f"--backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    settings = BuildSettings(
        profile=Profile.parse(batch, canvas) if batch or canvas else None,
        compute_capabilities=tuple(compute_capability or ()),
        plugin=plugin,
        plugin_library=plugin_library,
        workspace=workspace,
        timing_cache=timing_cache,
        hardware_compatible=hardware_compatible,
        version_compatible=version_compatible,
    )
    expect_model(model)
    if to is not None and to.suffix.lower() in (".onnx", ".safetensors"):
        raise OutputError(f"{to}: expected the name of an engine, such as {to.stem}.engine, got {to.suffix}")
    if backend == "onnxruntime":
        _write_options(model, to, settings)
        return
    if to is None:
        raise ArgumentError("--output: expected the name of the engine to write, got none")
    library = find_library(backend) if backend else find_any_library()
    with watching(f"{library.name} {library.version}") as progress:
        record = build_engine(model, to, settings, library=library, progress=progress)
    if json_:
        print_json({"file": str(to), **record.to_values()})
        return
    built = f"{record.size / 1e6:.2f} MB, {record.precision}, for {record.built_for()}"
    output.print(f"wrote {to} ({built})", highlight=False, soft_wrap=True)


def _write_options(model: Path, to: Path | None, settings: BuildSettings) -> None:
    """Print the options of ONNX Runtime's provider, or write them into a file."""
    import json

    from stn_deploy.data import write_output
    from stn_deploy.export.engine import ort_options

    options = ort_options(model, settings)
    if to is None:
        print_json(options)
        return
    write_output(to, (json.dumps(options, indent=2) + "\n").encode())
    output.print(f"wrote {to}", highlight=False, soft_wrap=True)
