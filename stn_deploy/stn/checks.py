"""What the Spatial Transformer refuses: each error names the argument, what was expected and what came."""

from __future__ import annotations

import numpy as np
from torch import Tensor, bfloat16, float16, float32, float64

from stn_deploy.errors import ArgumentError, ShapeError


def check_source(source: Tensor) -> None:
    """Refuse a U that is not (n, c, H, W) or (n, c, D, H, W), floating point, of at least one pixel.

    Raises:
        ShapeError: another rank, or no pixels.
        ArgumentError: whole numbers.
    """
    check_tensor("source", source)
    if source.ndim not in (4, 5):
        raise ShapeError(f"source: expected (n, c, H, W) or (n, c, D, H, W), got {tuple(source.shape)}")
    if 0 in source.shape[2:]:
        raise ShapeError(f"source: expected at least 1 pixel in each direction, got {tuple(source.shape)}")
    if source.dtype not in (float16, bfloat16, float32, float64):
        raise ArgumentError(f"source: expected a floating-point tensor, got {source.dtype}; call .float()")


def check_grid(source: Tensor, grid: Tensor) -> None:
    """Refuse a grid that does not fit a source which `check_source` has passed.

    Raises:
        ShapeError: another rank, last dimension or batch, or no pixels.
        ArgumentError: another device; a type other than float32 (float64 for a float64 source).
    """
    check_tensor("grid", grid)
    dimensions = source.ndim - 2
    letters = ("n, h, w, 2", "n, d, h, w, 3")[dimensions - 2]
    if grid.ndim != source.ndim or grid.shape[-1] != dimensions:
        raise ShapeError(
            f"grid: expected ({letters}) for a source {tuple(source.shape)}, got {tuple(grid.shape)}"
        )
    if grid.shape[0] != source.shape[0]:
        raise ShapeError(
            f"grid: expected a batch of {source.shape[0]} like source, got {grid.shape[0]}; "
            "repeat the smaller one with .expand"
        )
    if 0 in grid.shape[1:]:
        raise ShapeError(f"grid: expected an output of at least 1 pixel, got {tuple(grid.shape)}")
    check_device("grid", grid, source, "source")
    wanted = float64 if source.dtype == float64 else float32
    if grid.dtype != wanted:
        hint = "call .float()" if wanted == float32 else "call .double()"
        raise ArgumentError(
            f"grid: expected {wanted} for a source of {source.dtype}, got {grid.dtype}; {hint}"
        )


def check_theta(theta: Tensor, parameters: int, name: str, constant: Tensor) -> None:
    """Refuse a theta that is not (n, p) of floating-point numbers beside the constants of its transform.

    Raises:
        ShapeError: another shape.
        ArgumentError: another device; whole numbers; float64 beside float32 or float32 beside float64.
    """
    check_tensor("theta", theta)
    if theta.ndim != 2 or theta.shape[1] != parameters:
        hints = {3: "; flatten it with theta.flatten(1)", 1: "; add the batch dimension with theta[None]"}
        hint = hints.get(theta.ndim, "; as many numbers must come from the localisation network")
        raise ShapeError(f"theta: expected (n, {parameters}) for {name}, got {tuple(theta.shape)}{hint}")
    check_device("theta", theta, constant, "the grid generator")
    if theta.dtype not in (constant.dtype, float16, bfloat16):
        raise ArgumentError(
            f"theta: expected {constant.dtype} like the grid generator, got {theta.dtype}; "
            "call .float() or .double() on either"
        )


def check_tensor(name: str, given: object) -> None:
    """Refuse what is not a tensor.

    Raises:
        ArgumentError: it is not.
    """
    if not isinstance(given, Tensor):
        shown = "None" if given is None else type(given).__name__
        hint = "; call torch.from_numpy on it" if isinstance(given, np.ndarray) else ""
        raise ArgumentError(f"{name}: expected a tensor, got {shown}{hint}")


def check_transform(name: str, given: object) -> None:
    """Refuse what is not a `stn_deploy.geometry.Transform`.

    Raises:
        ArgumentError: it is not.
    """
    if not hasattr(given, "basis") or not hasattr(given, "expansion"):
        raise ArgumentError(
            f"{name}: expected a transform such as AFFINE or ThinPlateSpline.on_edges(20), got {given!r}"
        )


def check_device(name: str, tensor: Tensor, other: Tensor, other_name: str) -> None:
    """Refuse a tensor on another device.

    Raises:
        ArgumentError: the devices differ.
    """
    if tensor.device != other.device:
        raise ArgumentError(
            f"{name}: expected a tensor on {other.device} like {other_name}, got one on {tensor.device}"
        )
