"""Exported rectifiers at work: images in, straightened images out. Imports no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stn_deploy.runtime.canvas import pack_canvas
from stn_deploy.runtime.rectifier import DEFAULT_MODEL, Rectifier
from stn_deploy.runtime.result import Rectified

if TYPE_CHECKING:
    from stn_deploy.runtime.batching import BatchCounters, Batcher, BatchLimits, batching_rectifier
    from stn_deploy.runtime.pipeline import Pipeline

_LAZY = {
    **dict.fromkeys(
        ("BatchCounters", "BatchLimits", "Batcher", "batching_rectifier"), "stn_deploy.runtime.batching"
    ),
    "Pipeline": "stn_deploy.runtime.pipeline",
}

__all__ = [
    "DEFAULT_MODEL",
    "BatchCounters",
    "BatchLimits",
    "Batcher",
    "Pipeline",
    "Rectified",
    "Rectifier",
    "batching_rectifier",
    "pack_canvas",
]


def __getattr__(name: str) -> Any:
    """What not everybody needs is imported on first use."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'stn_deploy.runtime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
