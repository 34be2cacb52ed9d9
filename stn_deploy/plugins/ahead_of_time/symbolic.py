"""A launch whose lengths only the running engine knows: blocks and integers as expressions of TensorRT."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from stn_deploy.plugins.ahead_of_time.node import KERNELS, Node
from stn_deploy.plugins.launch.plan import (
    ARGUMENTS,
    BLOCKS_WANTED,
    CHANNELS_PER_BLOCK,
    PADDING_CODES,
    POINTS_PER_BLOCK,
    THREADS,
)


def launch_parameters(plugin: Any, node: Node, shapes: Mapping[str, Sequence[Any]]) -> tuple[Any, Any]:
    """How the kernel of a node is launched.

    Args:
        plugin: the module ``tensorrt.plugin``. shapes: of the inputs, in its expressions.
    Returns:
        its KernelLaunchParams, and the integers between inputs and output, SymInt32 each.
    """
    lengths = _lengths(plugin, node, shapes)
    parameters = plugin.KernelLaunchParams()
    parameters.grid_x = symbolic_blocks(plugin, lengths["n"], lengths["c"], lengths["points"])
    parameters.block_x = THREADS
    sampling = node.sampling
    values = {
        **lengths,
        "padding": PADDING_CODES[sampling.padding],
        "align_corners": int(sampling.align_corners),
        "homogeneous": int(sampling.homogeneous),
    }
    _, names, _ = ARGUMENTS[KERNELS[node.op_type]]
    return parameters, plugin.SymIntExprs.from_tuple([plugin.SymInt32(values[name]) for name in names])


def symbolic_blocks(plugin: Any, n: Any, c: Any, points: Any) -> Any:
    """`stn_deploy.plugins.launch.plan.blocks_for` of lengths that are expressions."""
    tiles = plugin.cdiv(points, POINTS_PER_BLOCK)
    channels = plugin.cdiv(c, CHANNELS_PER_BLOCK)
    each = plugin.max(tiles * channels, 1)
    shared = plugin.max(plugin.ShapeExpr(BLOCKS_WANTED) // each, 1)
    return each * plugin.max(plugin.min(n, shared), 1)


def _lengths(plugin: Any, node: Node, shapes: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Lengths of the contract, depth 1 for images."""
    source = shapes["source"]
    space = [plugin.ShapeExpr(1)] * (3 - node.sampling.dimensions) + list(source[2:])
    if "grid" in shapes:
        others = {"points": math.prod(shapes["grid"][1:-1], start=plugin.ShapeExpr(1))}
    else:
        others = {"k": shapes["basis"][1], "points": shapes["basis"][0]}
    # The least of all, so that no input is read past its end: a kernel in an engine cannot refuse.
    batches = [shape[0] for name, shape in shapes.items() if name != "basis"]
    names = ("n", "c", "depth", "height", "width")
    return dict(zip(names, [reduce(plugin.min, batches), source[1], *space], strict=True)) | others
