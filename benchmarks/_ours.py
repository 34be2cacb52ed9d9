"""The rectifier in each precision that it has."""

from __future__ import annotations

import inspect
from typing import Any

from stn_deploy.runtime import Rectifier

PRECISIONS = ("float32", "int8")
OUTPUT = (32, 100)
"""What the published recognisers straighten to."""


def precisions() -> list[str]:
    """Those that the rectifier takes."""
    return list(PRECISIONS) if "precision" in inspect.signature(Rectifier).parameters else ["float32"]


def rectifier(precision: str, **options: Any) -> Rectifier:
    """The shipped rectifier in a precision."""
    if len(precisions()) > 1:
        options["precision"] = precision
    return Rectifier(**options)


def kinds(**options: Any) -> dict[str, Rectifier]:
    """All that is compared: to one size, at natural width, and as shipped; in each precision."""
    found = {}
    for precision in precisions():
        settings: dict[str, dict[str, Any]] = {
            "32x100, all straightened": {"size": OUTPUT, "threshold": 0.0},
            "natural width, all straightened": {"threshold": 0.0},
            "natural width, gated as shipped": {},
        }
        for name, setting in settings.items():
            found[f"stn-deploy {precision}, {name}"] = rectifier(precision, **setting, **options)
    return found
