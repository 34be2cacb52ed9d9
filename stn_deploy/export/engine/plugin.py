"""Our fused kernel in a build: whether it takes the node, and how the file must change for that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stn_deploy.errors import EngineError
from stn_deploy.export.engine.settings import BuildSettings
from stn_deploy.export.node import DOMAIN, OP_TYPE
from stn_deploy.export.passes import Pass, inline_function, strip_function
from stn_deploy.runtime.engines.libraries import Library, Log

PREFERS_PLUGIN = (10, 7)
"""From this version on TensorRT takes the plugin where there is one; before, the function in the file."""


@dataclass(frozen=True)
class PluginUse:
    """used: whether the plugin takes the nodes. library: where it came from, None if it was loaded already.

    change: the pass that makes the file fit; None leaves it as it is.
    """

    used: bool
    library: Path | None
    change: Pass | None

    def record(self) -> dict[str, str] | None:
        """File name and SHA-256 of the library, for the record of the engine."""
        if not self.used:
            return None
        if self.library is None:
            return {"library": "", "sha256": ""}
        return {
            "library": self.library.name,
            "sha256": hashlib.sha256(self.library.read_bytes()).hexdigest(),
        }


def choose_plugin(library: Library, settings: BuildSettings, log: Log) -> PluginUse:
    """Load the plugin if it is wanted, and choose how the file must change.

    Raises:
        EngineError: the plugin is asked for but not there, or its library does not load.
    """
    if library.name == "tensorrt-rtx":
        return PluginUse(False, None, None)
    registry = library.trt.get_plugin_registry()
    if settings.plugin_library is not None:
        _load(registry, settings.plugin_library, log)
    there = _is_registered(registry)
    if settings.plugin == "on" and not there:
        raise EngineError(
            f"plugin: expected a library that registers {OP_TYPE}, version 1, in the namespace {DOMAIN}, "
            "found none; name it (--plugin-library), or build without the plugin"
        )
    if not there:
        return PluginUse(False, None, None)
    if settings.plugin == "off":
        return PluginUse(False, None, inline_function)
    change = strip_function if library.release < PREFERS_PLUGIN else None
    return PluginUse(True, settings.plugin_library, change)


def _load(registry: Any, path: Path, log: Log) -> None:
    if not path.is_file():
        raise EngineError(f"plugin library: expected a file, found none at {path}")
    if registry.load_library(str(path.resolve())) is None:
        raise EngineError(f"plugin library: {path} does not load: {log.last()}")
    if not _is_registered(registry):
        raise EngineError(
            f"plugin library: {path} registers no {OP_TYPE}, version 1, in the namespace {DOMAIN}; it is of "
            "another project, or of another version of stn-deploy"
        )


def _is_registered(registry: Any) -> bool:
    wanted = (OP_TYPE, "1", DOMAIN)
    return any(
        (creator.name, creator.plugin_version, creator.plugin_namespace) == wanted
        for creator in registry.all_creators
    )
