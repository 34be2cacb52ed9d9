"""What adapters share: names that may not be installed, and confidences that pass 1 by rounding."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr.reader import Reading


def found(module: str, name: str, packages: str) -> Any:
    """A function or class of a package that may not be installed, or not in the release that has it.

    Raises:
        MissingDependency: it is not there; ``pip install`` of ``packages`` would mend that.
    """
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        package = module.partition(".")[0]
        missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else None
        what = f"{package} with {name}" if missing is None else missing
        raise MissingDependency(f"{what} is not installed; pip install {packages}") from error


def as_reading(text: str, confidence: float) -> Reading:
    """A reading no surer than one can be; not sure at all where the confidence is NaN."""
    sure = float(confidence)
    return Reading(text.strip(), 0.0 if math.isnan(sure) else min(max(sure, 0.0), 1.0))
