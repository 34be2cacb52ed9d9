"""``stn-deploy plugin``: build the plugin for TensorRT as a library, and say what of it is here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from stn_deploy.cli.common import checked_output, errors, needs, output, print_json, progress_bar
from stn_deploy.errors import ArgumentError, EngineError, MissingDependency, OutputError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _plugin() -> None:
    """The fused kernel for TensorRT: build its library, or say what is here.

    From TensorRT 10.9 on, stn-deploy build --plugin on needs no library.
    """


@app.command("build")
def build(
    tensorrt: Annotated[
        Path | None,
        typer.Option(
            help="Folder of TensorRT, or of its headers.  [default: TENSORRT_ROOT, else the system's]",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to put the library into; the cache alone by default."),
    ] = None,
    architectures: Annotated[
        str | None,
        typer.Option(help="GPUs, such as 75,86.  [default: all that nvcc knows]", show_default=False),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print what was built as JSON.")] = False,
) -> None:
    """Compile the plugin's library with the nvcc of this machine; one that was compiled before is kept."""
    from stn_deploy.plugins.library import Recipe, cache_folder, cached_build, find_compiler, find_headers
    from stn_deploy.plugins.library.build import copy_library, expect_folder
    from stn_deploy.plugins.status import library_status

    if to is not None and (to.is_file() or to.suffix == ".so"):
        raise OutputError(f"--output: expected a folder, for two files go there, got {to}")
    if to is not None:
        expect_folder(to)
    headers, compiler = find_headers(tensorrt), find_compiler()
    recipe = Recipe(
        headers=headers, compiler=compiler, architectures=compiler.chosen(_numbers(architectures))
    )
    with progress_bar(noted=True, shown=errors.is_terminal) as bar:
        task = bar.add_task(f"nvcc {compiler.version}, TensorRT {headers.version}", total=None, note="")
        path = cached_build(
            recipe,
            cache_folder(),
            lambda done, count, what: bar.update(task, completed=done, total=count, note=what),
        )
    if to is not None:
        path = copy_library(path, to)
    if json_:
        print_json(library_status(path, None))
        return
    output.print(
        f"{path}: for TensorRT {headers.major} on {', '.join(recipe.architectures)}",
        highlight=False,
        soft_wrap=True,
    )


@app.command("info")
def info(
    library: Annotated[
        Path | None, typer.Argument(help="A built library; by default the one that would be loaded.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show the kernels that ship, how TensorRT would take them, and the library that would be loaded."""
    from stn_deploy.plugins.library import expect_for, read_marker
    from stn_deploy.plugins.status import kernels_status, library_status

    version, way = _installed()
    values = {
        "kernels": kernels_status(),
        "tensorrt": {"version": version, "plugin": way},
        "library": library_status(library, version),
    }
    if json_:
        print_json(values)
    else:
        _print(values)
    if library is not None and version is not None:
        expect_for(read_marker(library), version)


@app.command("replace")
def replace(
    model: Annotated[Path, typer.Argument(help="Any .onnx file with GridSample nodes.")],
    to: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    dimensions: Annotated[
        str, typer.Option(help="2 for images, 3 for volumes, which TensorRT refuses before 11.2, or 2,3.")
    ] = "3",
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Also nearest neighbours; another pixel is taken at a tie.")
    ] = False,
    function: Annotated[
        str,
        typer.Option(
            help="keep what runs without the plugin; strip, for several kinds, or TensorRT 10.1 to 10.6."
        ),
    ] = "keep",
) -> None:
    """Have the plugin take the GridSample nodes of any model, in TensorRT of every version from 10.0 on."""
    checked_output(to, model, suffix=".onnx")
    if dimensions not in ("2", "3", "2,3", "3,2"):
        raise ArgumentError(f"--dimensions: expected 2, 3 or 2,3, got {dimensions!r}")
    if function not in ("keep", "strip"):
        raise ArgumentError(f"--function: expected keep or strip, got {function!r}")
    with needs("export"):
        from stn_deploy.export.passes import give_grids, rewrite_any

    settings = {"nearest": nearest, "function": function == "keep"}
    axes = [int(number) for number in dimensions.split(",")]
    rewrite_any(model, to, lambda whole: give_grids(whole, dimensions=axes, **settings))
    output.print(f"wrote {to}", highlight=False, soft_wrap=True)


def _installed() -> tuple[str | None, str]:
    """Version of the installed TensorRT, and how a build would take the plugin, or why there is none."""
    from stn_deploy.plugins import ahead_of_time
    from stn_deploy.runtime.engines.libraries import find_library

    try:
        library = find_library("tensorrt")
    except (EngineError, MissingDependency) as error:
        return None, str(error)
    return library.version, "ahead of time" if ahead_of_time.is_available(library.trt) else "as a library"


def _numbers(text: str | None) -> tuple[int, ...]:
    """75,86 or 7.5,8.6 as numbers."""
    parts = [part.strip().replace(".", "") for part in text.split(",")] if text else []
    if not all(part.isdigit() for part in parts):
        raise ArgumentError(f"--architectures: expected numbers with commas, such as 75,86, got {text!r}")
    return tuple(map(int, parts))


def _print(values: dict[str, Any]) -> None:
    kernels, library = values["kernels"], values["library"]
    version, way = values["tensorrt"]["version"], values["tensorrt"]["plugin"]
    made = f"{kernels['kernels']} in PTX {kernels['version']} for {kernels['target']}, {kernels['compiler']}"
    rows = {
        "nodes": ", ".join(kernels["nodes"]),
        "element types": ", ".join(kernels["elements"]),
        "kernels": f"{made}; text {kernels['text']}, sources {kernels['sources']}",
        "TensorRT": way if version is None else f"{version}; a build takes the plugin {way}",
        "library": library.get("missing") or "{library}".format(**library),
    }
    if library["library"] is not None:
        for_ = "for TensorRT {tensorrt} on {0}, by CUDA {cuda}; sources {sources}"
        rows["library"] += "\n" + for_.format(", ".join(library["architectures"]), **library)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, Text(text))
    output.print(table)
