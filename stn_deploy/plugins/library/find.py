"""Find the plugin library for a TensorRT: named, prebuilt, in the cache, or built now; else say why not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from stn_deploy.errors import EngineError
from stn_deploy.plugins.library.build import Progress
from stn_deploy.plugins.library.cache import cache_folder, cached_build, cached_libraries
from stn_deploy.plugins.library.compiler import find_compiler
from stn_deploy.plugins.library.headers import find_headers
from stn_deploy.plugins.library.marker import LibraryInfo, expect_for, read_marker
from stn_deploy.plugins.library.recipe import LIBRARY, Recipe

VARIABLE = "STN_DEPLOY_PLUGIN_LIBRARY"
"""Names a library for all that look for one."""
PREBUILT = Path(__file__).resolve().parent / "prebuilt"
"""Whoever packages stn-deploy for machines without a compiler puts libraries here, each in a folder."""


def named_library(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Path | None:
    """The library that the user has named: the given one, else that of the variable, else None."""
    variables = os.environ if environment is None else environment
    return path or (Path(variables[VARIABLE]) if variables.get(VARIABLE) else None)


def find_library(
    tensorrt: str,
    *,
    compute_capability: str | None = None,
    others: Sequence[str] = (),
    named: Path | None = None,
    root: Path | None = None,
    build: bool = True,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> LibraryInfo:
    """The plugin library for a TensorRT.

    Args:
        tensorrt: version that is to load it, such as 10.3.0.26.
        compute_capability: of the GPU that is to run it. others: of more GPUs that are to. A library that is
            built now is for these alone.
        named: by the user; by default what `VARIABLE` names.
        root: of TensorRT, for its headers; see `stn_deploy.plugins.library.headers.find_headers`.
        build: whether one may be built, which takes some minutes.
        progress: told while it is built. environment: of the process by default.
    Raises:
        EngineError: the named one does not fit; or none is found and none can be built, with both reasons.
        OutputError: there is no place for a cache, or it cannot be written.
    """
    gpus = tuple(dict.fromkeys(([compute_capability] if compute_capability else []) + list(others)))
    path = named_library(named, environment)
    if path is not None:
        info = read_marker(path)
        expect_for(info, tensorrt, *gpus)
        return info
    reasons = []
    for name in ("prebuilt", "built here before"):
        folder = PREBUILT if name == "prebuilt" else cache_folder(environment)
        found = cached_libraries(folder)
        fitting = [info for info in found if _fits(info, tensorrt, gpus)]
        if fitting:
            return max(fitting, key=lambda info: len(info.architectures))
        reasons.append(f"{name}: {_listed(found) or 'none'} in {folder}")
    why = "; ".join(reasons)
    if not build:
        raise EngineError(
            f"plugin library: expected one for TensorRT {tensorrt}, found none ({why}); build it: stn-deploy "
            "plugin build"
        )
    try:
        headers = find_headers(root, major=int(tensorrt.split(".")[0]), environment=environment)
        compiler = find_compiler(environment)
    except EngineError as error:
        raise EngineError(
            f"plugin library: expected one for TensorRT {tensorrt}, found none ({why}), and none can be "
            f"built ({error}). Build one where nvcc and TensorRT's headers are, stn-deploy plugin build -o "
            f"FOLDER, and name it: --plugin-library FOLDER/{LIBRARY}, or {VARIABLE}"
        ) from error
    asked = tuple(int(each.replace(".", "")) for each in gpus)
    usable = asked if set(asked) <= set(compiler.architectures) else ()
    recipe = Recipe(headers=headers, compiler=compiler, architectures=compiler.chosen(usable))
    built = read_marker(cached_build(recipe, cache_folder(environment), progress))
    expect_for(built, tensorrt, *gpus)
    return built


def _fits(info: LibraryInfo, tensorrt: str, gpus: Sequence[str]) -> bool:
    """Of the same major and minor version: it was asked for what this TensorRT has."""
    same = info.tensorrt.split(".")[:2] == tensorrt.split(".")[:2] or info.path.is_relative_to(PREBUILT)
    try:
        expect_for(info, tensorrt, *gpus)
    except EngineError:
        return False
    return same


def _listed(found: list[LibraryInfo]) -> str:
    return ", ".join(f"one for TensorRT {info.tensorrt} on {', '.join(info.architectures)}" for info in found)
