"""The fused kernels in torch: on a GPU one kernel, elsewhere the same numbers from operators of torch.

Once this is imported ``torch.ops.stn_deploy`` has ``theta_grid_sample`` and ``grid_sample``.
"""

from __future__ import annotations

from stn_deploy.plugins.operators.functions import grid_sample, theta_grid_sample
from stn_deploy.plugins.operators.transformer import FusedSpatialTransformer, warp

__all__ = ["FusedSpatialTransformer", "grid_sample", "theta_grid_sample", "warp"]
