"""Grid generator and sampler in one CUDA kernel, and the ways to it.

    kernels/        CUDA C++ and its PTX; knows neither torch nor TensorRT
    launch/         from addresses to a kernel that runs, through NVIDIA's driver alone
    arrays          for arrays of CuPy, and all that speak DLPack
    operators/      for torch: trains, compiles, exports
    library/        the plugin for TensorRT, in C++
    ahead_of_time/  the plugin for TensorRT whose kernel is stored in the engine

Its parts are imported on first use; this one imports nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stn_deploy.plugins import arrays, operators

_LAZY = {"arrays": "", "operators": ""}
"""Where each public name lives: in a module, or, where none is named, it is one itself."""

__all__ = ["arrays", "operators"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _LAZY[name]
    if not home:
        return importlib.import_module(f"{__name__}.{name}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
