"""The plugin for TensorRT 10.9 and newer without a library: the kernel's PTX is stored inside the engine.

    import tensorrt
    from stn_deploy.plugins import ahead_of_time

    registration = ahead_of_time.register(tensorrt)  # then parse and build as ever

TensorRT's parser finds the plugin by a node's attribute plugin_namespace; the attribute ``aot`` may be left
out, for there is no other implementation. What is refused is in registration.problems. The engine runs
wherever TensorRT and a driver for its PTX are, without Python and without this package.
"""

from __future__ import annotations

from stn_deploy.plugins.ahead_of_time.registration import Registration, is_available, register, withdraw

__all__ = ["Registration", "is_available", "register", "withdraw"]
