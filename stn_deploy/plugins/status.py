"""What of the plugins is here: the kernels that ship, and the library that would be loaded."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from stn_deploy.errors import EngineError, OutputError
from stn_deploy.plugins.ahead_of_time.node import ATTRIBUTES
from stn_deploy.plugins.ahead_of_time.ptx import PTX
from stn_deploy.plugins.launch.plan import ELEMENT_BYTES
from stn_deploy.plugins.library import LibraryInfo, find_library, named_library, read_marker
from stn_deploy.plugins.library.loading import NODE
from stn_deploy.plugins.library.recipe import sources_digest

KERNELS = PTX.parent


def kernels_status() -> dict[str, Any]:
    """The shipped PTX.

    Returns:
        nodes: that it runs. operations: of the kernels. elements: of U and V. kernels: how many functions.
        target, version: of the text. compiler: that made it. text: "as shipped", or which files are not.
        sources: "as compiled", or which files are not.
    Raises:
        EngineError: the package lacks the files.
    """
    try:
        said = json.loads((PTX / "digest.json").read_text(encoding="utf-8"))
        texts = {name: (PTX / name).read_bytes() for name in said["ptx"]}
        changed = _changed(KERNELS, said["sources"])
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(f"{PTX}: the kernels are incomplete ({error}); install stn-deploy again") from error
    names = [name for text in texts.values() for name in re.findall(rb"\.entry\s+(\w+)", text)]
    return {
        "nodes": [f"{NODE[2]}::{op_type}" for op_type in ATTRIBUTES],
        "operations": sorted({re.sub(r"_[23]d_\w+\.ptx", "", name) for name in texts}),
        "elements": list(ELEMENT_BYTES),
        "kernels": len(names),
        "target": said["target"],
        "version": said["version"],
        "compiler": said["compiler"],
        "text": _state(_changed(PTX, said["ptx"]), "as shipped"),
        "sources": _state(changed, "as compiled"),
    }


def library_status(path: Path | None, tensorrt: str | None) -> dict[str, Any]:
    """A library, or the one that would be loaded; none is built for that.

    Args:
        path: of the one that is asked about. tensorrt: version that would load it; None if that is not known.
    Returns:
        library: its path, None where there is none; then ``missing``, the reason. Else tensorrt, cuda and
        architectures that it was built for, and sources: "as installed", "others", or "not said" where a
        builder other than ours did not write down which.
    Raises:
        EngineError: ``path``, or what `VARIABLE` names, is not a library of this project.
    """
    if path is not None:
        return _described(read_marker(path))
    named = named_library()
    if tensorrt is None and named is not None:
        return _described(read_marker(named))
    if tensorrt is None:
        return {"library": None, "missing": "TensorRT is not installed, so none is looked for"}
    try:
        return _described(find_library(tensorrt, build=False))
    except (EngineError, OutputError) as error:
        return {"library": None, "missing": str(error)}


def _described(info: LibraryInfo) -> dict[str, Any]:
    return {
        "library": str(info.path),
        "tensorrt": info.tensorrt,
        "cuda": info.cuda,
        "architectures": list(info.architectures),
        "sources": {sources_digest(): "as installed", "": "not said"}.get(info.sources, "others"),
    }


def _state(changed: list[str], good: str) -> str:
    return f"not {good}: {', '.join(changed)}" if changed else good


def _changed(folder: Path, digests: dict[str, str]) -> list[str]:
    """Names of the files that do not have their digest."""
    return [
        name
        for name, digest in digests.items()
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest
    ]
