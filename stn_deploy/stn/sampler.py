"""Sampler: U and grid -> V."""

from __future__ import annotations

import math
from functools import reduce
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry.sampling import FAR, MODES, PADDINGS, check_choice
from stn_deploy.stn.checks import check_grid, check_source
from stn_deploy.stn.precision import without_autocast


def sample(
    source: Tensor, grid: Tensor, *, mode: str = "bilinear", padding: str = "border", antialias: bool = False
) -> Tensor:
    """V of U at the positions of a grid.

    Convention: normalised (x, y) or (x, y, z) over pixel edges. NaN or infinite coordinates sample as 0.
    Args:
        source: U, (n, c, H, W) or (n, c, D, H, W), floating point.
        grid: (n, h, w, 2) or (n, d, h, w, 3), source coordinates of each pixel of V; float32, or float64 for
            a float64 source.
        mode: nearest, bilinear or bicubic; nearest or trilinear for volumes. ``nearest`` is the paper's: the
            pixel whose area holds the point, at a tie the later one (torch's takes the even one).
        padding: what lies outside U: border (its last pixel), zeros or reflection.
        antialias: where an axis of U is more than twice as long as that of V (for nearest: longer), average
            samples within each pixel of V, in number as many as U has pixels for each of V along that axis.
            No pixel of U is skipped where V shows no more than U and does not lie on its side.
    Returns:
        V, (n, c, h, w) or (n, c, d, h, w), in the type of ``source``.
    Raises:
        ShapeError: a tensor of another rank or without pixels, batches that differ; with antialias, a V of
            one pixel along an axis that is reduced.
        ArgumentError: an unknown mode or padding; whole numbers; types or devices that do not go together.
    Source: Jaderberg et al. 2015, equation 3; nearest is equation 4, bilinear equation 5. Bicubic: Keys 1981,
    Cubic Convolution Interpolation, with a = -0.75.
    """
    check_source(source)
    check_grid(source, grid)
    check_choice("mode", mode, MODES[source.ndim - 2])
    check_choice("padding", padding, PADDINGS)
    # The kernel wants one type; a source in half precision is widened to that of the positions.
    wide = source.to(grid.dtype)
    with without_autocast(source):
        if antialias:
            sampled = _mean_within_pixels(wide, grid, mode, padding)
        else:
            sampled = _sample_points(wide, grid, mode, padding)
    return sampled.to(source.dtype)


class Sampler(nn.Module):
    """`sample` as a module, with its mode, padding and antialias."""

    def __init__(self, mode: str = "bilinear", padding: str = "border", *, antialias: bool = False) -> None:
        """See `sample` for the arguments.

        Raises:
            ArgumentError: an unknown mode or padding, or an antialias that is not a bool.
        """
        super().__init__()
        if not isinstance(antialias, bool):
            raise ArgumentError(f"antialias: expected True or False, got {antialias!r}")
        check_choice("mode", mode, tuple(dict.fromkeys(MODES[2] + MODES[3])))
        check_choice("padding", padding, PADDINGS)
        self.mode = mode
        self.padding = padding
        self.antialias = antialias

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        return f"{self.mode}, padding={self.padding}, antialias={self.antialias}"

    def forward(self, source: Tensor, grid: Tensor) -> Tensor:
        """V (n, c, h, w) of ``source`` (n, c, H, W) at ``grid`` (n, h, w, 2); volumes alike."""
        return sample(source, grid, mode=self.mode, padding=self.padding, antialias=self.antialias)


def _sample_points(source: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
    """V with one sample at each position of the grid."""
    tame = _is_tame(grid)
    # Far positions would overflow to NaN on the way to pixels; NaN itself is put at 0 and masked out below.
    finite = None if tame else torch.isfinite(grid).all(dim=-1)
    positions = grid if finite is None else torch.where(finite[..., None], grid, 0).clamp(-FAR, FAR)
    if mode == "nearest":
        positions = _pixel_centres(positions, source)
    name = "bilinear" if mode == "trilinear" else mode
    sampled = F.grid_sample(source, positions, name, padding, align_corners=False)
    return sampled if finite is None else torch.where(finite[:, None], sampled, 0)


def _is_tame(grid: Tensor) -> bool:
    """Whether a look at the extremes shows that every position is finite and not absurdly far.

    It saves two copies of the grid and a pass over the output. Not where asking would stop a GPU, or where
    the answer would be frozen into a traced graph or cannot be had.
    """
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    if traced or type(grid) is not Tensor or grid.device.type != "cpu" or not grid.numel():
        return False
    if _is_wrapped(grid):
        return False
    low, high = torch.aminmax(grid.detach().movedim(-1, 1))  # in the order in which the generator wrote it
    return bool((low > -FAR) & (high < FAR))


def _is_wrapped(grid: Tensor) -> bool:
    """Whether torch.func looks through the grid: under vmap it has no extremes. Torch tells it in private."""
    functorch = getattr(torch._C, "_functorch", None)
    tell = getattr(functorch, "is_functorch_wrapped_tensor", None)
    return tell is None or bool(tell(grid))


def _pixel_centres(grid: Tensor, source: Tensor) -> Tensor:
    """Centre of the pixel in which each position lies: floor(x + 0.5) of equation 4, without a gradient."""
    coordinates = zip(grid.unbind(dim=-1), reversed(source.shape[2:]), strict=True)
    centres = [(torch.floor((value + 1) * (size / 2)) * 2 + 1) / size - 1 for value, size in coordinates]
    return torch.stack(centres, dim=-1)


def _mean_within_pixels(source: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
    """V with several samples within each of its pixels: as many as the sizes of U and V ask for."""
    sizes = list(zip(source.shape[2:], grid.shape[1:-1], strict=True))
    # Up to two pixels, a linear sample between them reads both. Beyond, steps of one pixel skip none.
    reach = 1 if mode == "nearest" else 2
    counts = [1 if before <= reach * after else -(-before // after) for before, after in sizes]
    finite = torch.isfinite(grid).all(dim=-1, keepdim=True)
    known = torch.where(finite, grid.clamp(-FAR, FAR), torch.nan)
    steps = {axis: _step(known, axis + 1) for axis, count in enumerate(counts) if count > 1}

    def part(places: tuple[int, ...]) -> Tensor:
        shifts = [step * ((places[axis] + 0.5) / counts[axis] - 0.5) for axis, step in steps.items()]
        return _sample_points(source, reduce(torch.add, shifts, known), mode, padding)

    return reduce(torch.add, map(part, product(*map(range, counts)))) / math.prod(counts)


def _step(grid: Tensor, axis: int) -> Tensor:
    """How far the position moves from one pixel of V to the next: the mean of the steps to both sides."""
    if grid.shape[axis] < 2:
        raise ShapeError(
            f"grid: expected at least 2 pixels along dimension {axis} for antialias, got {tuple(grid.shape)}"
        )
    steps = grid.diff(dim=axis)
    # A neighbour without a position says nothing of this pixel's step, nor has the outermost pixel one.
    known = torch.isfinite(steps)
    nothing = torch.zeros_like(steps.narrow(axis, 0, 1))
    total, count = (
        torch.cat([nothing, sides], axis) + torch.cat([sides, nothing], axis)
        for sides in (torch.where(known, steps, 0), known.to(steps.dtype))
    )
    return total / count.clamp(min=1)
