"""The node while a graph is traced; plain torch otherwise."""

from __future__ import annotations

import torch
from torch import Tensor

from stn_deploy.export.node.kind import BILINEAR_BORDER, DOMAIN, OP_TYPE, NodeKind
from stn_deploy.stn import theta_grid_sample


def theta_grid_sample_node(
    source: Tensor,
    basis: Tensor,
    theta: Tensor,
    extents: Tensor,
    output_size: tuple[int, ...],
    kind: NodeKind = BILINEAR_BORDER,
) -> Tensor:
    """`stn_deploy.stn.theta_grid_sample`, which becomes one node while the exporter traces."""
    if not torch.onnx.is_in_onnx_export():
        return theta_grid_sample(
            source,
            basis,
            theta,
            extents,
            output_size,
            mode=kind.interpolation,
            padding=kind.padding,
            homogeneous=kind.homogeneous,
        )
    return torch.onnx.ops.symbolic(
        f"{DOMAIN}::{OP_TYPE}",
        (source, basis, theta, extents),
        {"output_size": list(output_size), **kind.attributes},
        dtype=source.dtype,
        shape=(source.shape[0], source.shape[1], *output_size),
        version=1,
    )
