"""The plugin for TensorRT 10.9 and newer without a library: the kernel's PTX is stored inside the engine.

Such an engine runs wherever TensorRT and a driver for its PTX are, without Python and without this package.
"""

from __future__ import annotations

from stn_deploy.plugins.ahead_of_time.registration import Registration, is_available, register, withdraw

__all__ = ["Registration", "is_available", "register", "withdraw"]
