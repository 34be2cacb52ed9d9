"""The node ``stn_deploy::ThetaGridSample``: its kinds and their ONNX functions; `trace` has it in torch.

A function makes the file run wherever standard operators run; an engine that has our fused kernel takes the
node instead (TensorRT: attributes plugin_namespace and plugin_version).
"""

from __future__ import annotations

from stn_deploy.export.node.define import define_nodes, theta_grid_sample_function
from stn_deploy.export.node.kind import BILINEAR_BORDER, DOMAIN, OP_TYPE, OPSET, NodeKind

__all__ = [
    "BILINEAR_BORDER",
    "DOMAIN",
    "OPSET",
    "OP_TYPE",
    "NodeKind",
    "define_nodes",
    "theta_grid_sample_function",
]
