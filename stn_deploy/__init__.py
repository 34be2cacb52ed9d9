"""stn-deploy: straighten curved, tilted and perspective text in front of any OCR.

from stn_deploy import Rectifier

rectifier = Rectifier()
straight = rectifier(image).image
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stn_deploy.runtime import Rectified, Rectifier

_LAZY = {"Rectified": "stn_deploy.runtime", "Rectifier": "stn_deploy.runtime"}

__all__ = ["Rectified", "Rectifier", "__version__"]


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that ``import stn_deploy`` costs nothing."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'stn_deploy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
