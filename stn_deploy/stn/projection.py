"""From volumes to images."""

from __future__ import annotations

from torch import Tensor, nn

from stn_deploy.errors import ShapeError
from stn_deploy.stn.checks import check_tensor


class DepthProjection(nn.Module):
    """Flattens a volume to an image, the sum along its depth: after a 3-D transformer, a learned view.

    Source: Jaderberg et al. 2015, appendix on higher dimensions: W_nm = sum over l of V_nml.
    """

    def forward(self, volume: Tensor) -> Tensor:
        """W (n, c, h, w) of V (n, c, d, h, w).

        Raises:
            ShapeError: another rank.
        """
        check_tensor("volume", volume)
        if volume.ndim != 5:
            raise ShapeError(f"volume: expected (n, c, d, h, w), got {tuple(volume.shape)}")
        return volume.sum(dim=2)
