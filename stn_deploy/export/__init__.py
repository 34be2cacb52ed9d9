"""Trained rectifiers become files that run everywhere, and the proof that they give the same numbers.

Passes over files, engines and the proof of equality are modules of their own. Nothing is imported before it
is used: building an engine needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stn_deploy.export.comparison import Comparison
    from stn_deploy.export.network import export_network
    from stn_deploy.export.onnx_file import export_rectifier
    from stn_deploy.export.reload import rectifier_from_artifact
    from stn_deploy.export.verification import verify

_LAZY = {
    "Comparison": "comparison",
    "export_network": "network",
    "export_rectifier": "onnx_file",
    "rectifier_from_artifact": "reload",
    "verify": "verification",
}

__all__ = ["Comparison", "export_network", "export_rectifier", "rectifier_from_artifact", "verify"]


def __getattr__(name: str) -> Any:
    """Public names are imported on first use."""
    if name in _LAZY:
        return getattr(importlib.import_module(f"stn_deploy.export.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'stn_deploy.export' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
