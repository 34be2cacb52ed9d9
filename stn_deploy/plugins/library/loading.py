"""Let a TensorRT load the library: once, and only one that is for it, for what it says itself is little."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from stn_deploy.errors import EngineError
from stn_deploy.plugins.library.marker import LibraryInfo, expect_for

NODE = ("ThetaGridSample", "1", "stn_deploy")
"""Name, version and namespace of the plugin that every library has."""


class Loaded(NamedTuple):
    """A library that was loaded. file: its name. sha256: of its bytes."""

    file: str
    sha256: str


_LOADED: WeakKeyDictionary[Any, Loaded] = WeakKeyDictionary()


def is_registered(registry: Any) -> bool:
    """Whether a plugin registry of TensorRT knows our node, from whatever library."""
    return any(
        (creator.name, creator.plugin_version, creator.plugin_namespace) == NODE
        for creator in registry.all_creators
    )


def loaded_library(trt: Any) -> Loaded | None:
    """The library that `load_library` has loaded into this process."""
    return _LOADED.get(trt)


def load_library(trt: Any, info: LibraryInfo) -> Loaded:
    """Load a library into the registry of a process; the one that is there already is not loaded again.

    Args:
        trt: the module ``tensorrt``.
    Raises:
        EngineError: it is for another TensorRT, does not load, or another one is there already.
    """
    expect_for(info, str(trt.__version__))
    try:
        wanted = Loaded(info.path.name, hashlib.sha256(info.path.read_bytes()).hexdigest())
    except OSError as error:
        raise EngineError(
            f"plugin library: {info.path} cannot be read ({error.strerror or error})"
        ) from error
    registry = trt.get_plugin_registry()
    if is_registered(registry):
        there = _LOADED.get(trt)
        if there is None or there.sha256 != wanted.sha256:
            other = "another one" if there is None else f"{there.file}, SHA-256 {there.sha256[:12]},"
            raise EngineError(
                f"plugin library: {info.path} cannot be loaded, as {other} is in this process; TensorRT "
                "takes but one: begin a new process"
            )
        return there
    load_into(registry, info)
    _LOADED[trt] = wanted
    return wanted


def load_into(registry: Any, info: LibraryInfo) -> None:
    """Load a library into a registry that has none of our node.

    Raises:
        EngineError: it does not load. TensorRT's log, or the error recorder of its registry, has the reason.
    """
    if registry.load_library(str(info.path.resolve())) is None:
        raise EngineError(f"plugin library: {info.path} does not load")
    if not is_registered(registry):
        name, version, namespace = NODE
        raise EngineError(
            f"plugin library: {info.path} registers no {name}, version {version}, in the namespace "
            f"{namespace}; it is of another version of stn-deploy"
        )
