"""Kernels that fuse the node ``stn_deploy::ThetaGridSample``, and what loads them into an engine.

None is here yet: every engine runs the node by the function of standard operators inside the exported file.
"""

from __future__ import annotations

__all__: list[str] = []
