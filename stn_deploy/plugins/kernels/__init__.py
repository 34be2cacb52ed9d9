"""The CUDA kernels: their source, and PTX that every GPU since Turing runs. README.md explains the folder.

Nothing here is Python but the script that writes the PTX, `stn_deploy.plugins.kernels.generate_ptx`.
"""

from __future__ import annotations

__all__: list[str] = []
