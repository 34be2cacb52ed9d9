"""The rectifier on the CPU, in each precision that ships."""

from __future__ import annotations

from typing import Any

from stn_deploy.runtime import Rectifier

PRECISIONS = ("float32", "int8")
OUTPUT = (32, 100)
"""What the published recognisers straighten to."""
KINDS: dict[str, dict[str, Any]] = {
    "32x100, all straightened": {"size": OUTPUT, "threshold": 0.0},
    "natural width, all straightened": {"threshold": 0.0},
    "natural width, gated as shipped": {},
}


def kinds(**options: Any) -> dict[str, Rectifier]:
    """All that is compared: to one size, at natural width, and as shipped; in each precision."""
    return {
        f"stn-deploy {precision}, {name}": Rectifier(precision=precision, engine="cpu", **setting, **options)
        for precision in PRECISIONS
        for name, setting in KINDS.items()
    }
