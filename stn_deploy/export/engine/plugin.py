"""Our fused kernel in a build: by which way it takes the node, and how the file must change for that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stn_deploy.errors import EngineError
from stn_deploy.export.engine.refusals import Refusals
from stn_deploy.export.engine.settings import BuildSettings
from stn_deploy.export.passes import Pass, inline_function, strip_function
from stn_deploy.plugins import ahead_of_time
from stn_deploy.plugins.library import LibraryInfo, Progress, find_library, named_library
from stn_deploy.plugins.library.loading import is_registered, load_library, loaded_library
from stn_deploy.runtime.engines.libraries import Library

AMPERE_AND_NEWER = ("8.0", "8.6", "8.9", "9.0")
"""Compute capabilities that an engine must find code for where it is to run on other GPUs; text of the last
one is compiled for those to come."""
PREFERS_PLUGIN = (10, 7)
"""From this version on TensorRT takes the plugin where there is one; before, the function in the file."""


@dataclass(frozen=True)
class PluginUse:
    """used: whether the plugin takes the nodes. change: the pass that makes the file fit; None: as it is.

    record: what the engine's record says of the plugin once the engine is built; see `EngineRecord.plugin`.
    """

    used: bool
    change: Pass | None
    record: Callable[[], dict[str, str] | None] = lambda: None


def find_plugin(
    library: Library,
    settings: BuildSettings,
    compute_capability: str | None,
    progress: Progress | None = None,
) -> LibraryInfo | None:
    """The compiled library that a build is to load, built where it must be; None where it loads none.

    TensorRT before 10.9 needs one where the plugin is "on"; newer ones take it ahead of time, save where the
    user names one.

    Raises:
        EngineError: the named one does not fit; or one is needed, and there is none and none can be built.
        OutputError: it was built, but the cache cannot be written.
    """
    if library.name == "tensorrt-rtx" or settings.plugin == "off":
        return None
    named = named_library(settings.plugin_library)
    if named is None and (
        settings.plugin == "auto"
        or ahead_of_time.is_available(library.trt)
        or is_registered(library.trt.get_plugin_registry())
    ):
        return None
    return find_library(
        library.version,
        compute_capability=compute_capability,
        others=AMPERE_AND_NEWER if settings.hardware_compatible else (),
        named=named,
        progress=progress,
    )


@contextlib.contextmanager
def chosen_plugin(
    library: Library, settings: BuildSettings, found: LibraryInfo | None, refusals: Refusals
) -> Iterator[PluginUse]:
    """`choose_plugin` for the time of a build; what was offered for it is taken back at the end.

    Else an engine that is run in this process, and needs the library, would find the node there already.
    """
    try:
        yield choose_plugin(library, settings, found, refusals)
    finally:
        if library.name == "tensorrt":
            ahead_of_time.withdraw(library.trt)


def choose_plugin(
    library: Library, settings: BuildSettings, found: LibraryInfo | None, refusals: Refusals
) -> PluginUse:
    """Load or offer the plugin if it is wanted, and choose how the file must change.

    Args:
        found: by `find_plugin`. refusals: are told where to look for what an ahead-of-time plugin refuses.
    Raises:
        EngineError: the library does not load, or TensorRT does not take the plugin.
    """
    if library.name == "tensorrt-rtx":
        return PluginUse(False, None)
    trt = library.trt
    ahead_of_time.withdraw(trt)  # of the program itself: what auto and off mean is not for it to decide
    there = is_registered(trt.get_plugin_registry())
    if settings.plugin == "off":
        return PluginUse(False, inline_function if there else None)
    if found is not None or there:
        file, sha256 = (loaded_library(trt) or ("", "")) if found is None else load_library(trt, found)
        described = {"kind": "library", "file": file, "sha256": sha256}
        change = strip_function if library.release < PREFERS_PLUGIN else None
        return PluginUse(True, change, lambda: described)
    if settings.plugin == "auto":
        return PluginUse(False, None)
    registration = ahead_of_time.register(trt)
    registration.forget()
    refusals.follow(registration.problems)

    def stored() -> dict[str, str]:
        if not registration.kernels:
            raise EngineError(
                f"plugin: {library.name} {library.version} asked for no kernel to store in the engine"
            )
        kernel = registration.kernels[0]
        return {"kind": "ahead of time", "file": kernel.file, "sha256": kernel.sha256}

    return PluginUse(True, None, stored)
