"""What is called: the arguments that a user gives, brought to the operators."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from stn_deploy.errors import ArgumentError
from stn_deploy.plugins.operators import fused, given
from stn_deploy.stn.checks import check_tensor


def theta_grid_sample(
    source: Tensor,
    basis: Tensor,
    theta: Tensor,
    extents: Tensor | None = None,
    *,
    output_size: Sequence[int],
    mode: str = "bilinear",
    padding: str = "border",
    align_corners: bool = False,
    homogeneous: bool = False,
) -> Tensor:
    """V of U at the positions ``basis @ theta``: on a GPU one kernel, and no grid is written to memory.

    Convention: normalised (x, y) or (x, y, z) over pixel edges; with align_corners over the centres of the
    outermost pixels. NaN or infinite coordinates sample as 0. Positions and weights are float32 whatever
    the type of ``source``, also under autocast; gradients are summed in float32. There are no derivatives in
    forward mode (``torch.func.jvp``, ``jacfwd``), nor by the other transforms of ``torch.func`` but vmap.
    Args:
        source: U, (n, c, H, W) or (n, c, D, H, W); float32, float16 or bfloat16, or float64, for which
            operators of torch stand in.
        basis: (P, K), P = number of pixels of V; float32, float64 for a float64 source. Has no gradient.
        theta: (n, K, 2) or (n, K, 3), normalised over the valid part; one more column where homogeneous, by
            which the others are divided. In the type of ``basis``, or of half precision, and then widened.
        extents: (n, 2), valid fraction (height, width) of each image on its canvas, or (n, 3) with the depth
            first; in (0, 1], in the type of ``basis``. None: images fill their canvas. Pixels beyond are
            never read. Has no gradient.
        output_size: (h, w) or (d, h, w).
        mode: nearest, bilinear or bicubic; nearest or trilinear for volumes.
        padding: border, zeros or reflection.
    Returns:
        V, (n, c, h, w) or (n, c, d, h, w), in the type of ``source``; channels-last where ``source`` is and
        its channels fill whole vectors of 16 bytes.
    Raises:
        ShapeError: shapes that do not go together.
        ArgumentError: an unknown setting; types or devices that do not go together; a basis or extents that
            want a gradient; a source or theta with a tangent.
        EngineError: a GPU older than compute capability 7.5, or a launch that fails.
    Source: Jaderberg et al. 2015, sections 3.2 and 3.3.
    """
    for name, constant in (("basis", basis), ("extents", extents)):
        if constant is None and name == "extents":
            continue
        check_tensor(name, constant)
        if constant is not None and constant.requires_grad:
            raise ArgumentError(
                f"{name}: expected a constant, got a tensor that wants a gradient; call {name}.detach()"
            )
    check_tensor("source", source)
    check_tensor("theta", theta)
    _check_tangents(source=source, theta=theta)
    _check_switches(align_corners=align_corners, homogeneous=homogeneous)
    sizes = _whole_numbers(output_size)
    if theta.dtype in (torch.float16, torch.bfloat16):
        theta = theta.to(basis.dtype)
    settings = (mode, padding, align_corners, homogeneous)
    sampled: Tensor = fused.FORWARD(source, basis, theta, extents, sizes, *settings)
    return sampled


def grid_sample(
    source: Tensor,
    grid: Tensor,
    *,
    mode: str = "bilinear",
    padding: str = "border",
    align_corners: bool = False,
) -> Tensor:
    """V of U at the positions of a grid.

    Args:
        grid: (n, h, w, 2) or (n, d, h, w, 3), normalised; float32, float64 for a float64 source.
        source, mode, padding, align_corners: see `theta_grid_sample`, also for what is returned and raised.
    """
    check_tensor("source", source)
    check_tensor("grid", grid)
    _check_tangents(source=source, grid=grid)
    _check_switches(align_corners=align_corners)
    sampled: Tensor = given.FORWARD(source, grid, mode, padding, align_corners)
    return sampled


def _check_switches(**switches: bool) -> None:
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ArgumentError(f"{name}: expected True or False, got {value!r}")


def _check_tangents(**tensors: Tensor) -> None:
    """torch would lose them without a word, and say that nothing changes."""
    if torch.compiler.is_compiling():  # there are none then, and not every torch can trace the question
        return
    for name, tensor in tensors.items():
        if unpack_dual(tensor).tangent is not None:
            raise ArgumentError(
                f"{name}: expected no tangent, for samplers have no derivatives in forward mode, torch's "
                "neither; take gradients by backward() or torch.autograd.grad"
            )


def _whole_numbers(output_size: Sequence[int]) -> Sequence[int]:
    """Refuse all else, which torch's dispatcher would do in words of its own."""
    if torch.compiler.is_compiling():  # then they may be symbols
        return output_size
    try:
        sizes = tuple(output_size)
    except TypeError:
        sizes = ()
    if not sizes or not all(hasattr(size, "__index__") for size in sizes):
        raise ArgumentError(f"output_size: expected whole numbers, (h, w) or (d, h, w), got {output_size!r}")
    return sizes
