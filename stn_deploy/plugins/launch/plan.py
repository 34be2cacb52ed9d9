"""Which kernel a launch takes, how many blocks and which arguments. Twin of kernels/launch.h."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry.sampling import MODES, PADDINGS, check_choice

THREADS = 128
"""Of a block. Twin of kThreads."""
POINTS_PER_BLOCK = 128
"""Positions of V that a block samples, for each of its images. Twin of kPointsPerBlock."""
CHANNELS_PER_BLOCK = 32
"""Twin of kChannelsPerBlock."""
BLOCKS_WANTED = 4096
"""Enough to fill a GPU; more images than that share blocks. Twin of kBlocksWanted."""

INTERPOLATIONS = {"nearest": "nearest", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
"""Interpolation in the words of the sampler, and in those of the kernels' names."""
INTERPOLATION_CODES = {"nearest": 0, "linear": 1, "cubic": 2}
"""Twin of the enumeration Interpolation."""
PADDING_CODES = {"border": 0, "zeros": 1, "reflection": 2}
"""Twin of the enumeration Padding."""
ELEMENT_BYTES = {"f32": 4, "f16": 2, "bf16": 2}
"""In the order of the enumeration Element."""
VECTOR_BYTES = 16
"""The channels-last kernels read and write so many at once, and addresses must be multiples of it."""

# For each operation its pointers before the integers, the integers, and its pointers after them. This is the
# order of ahead-of-time plugins of TensorRT, too: inputs, integers, outputs.
_SIZES = ("n", "c", "depth", "height", "width")
_FUSED = (*_SIZES, "k", "points", "padding", "align_corners", "homogeneous")
_GIVEN = (*_SIZES, "points", "padding", "align_corners")
ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "theta_grid_sample": (("source", "basis", "theta", "extents"), _FUSED, ("output",)),
    "grid_sample": (("source", "grid"), _GIVEN, ("output",)),
    "theta_grid_sample_backward": (
        ("source", "basis", "theta", "extents", "gradient"),
        _FUSED,
        ("source_gradient", "theta_gradient"),
    ),
    "grid_sample_backward": (("source", "grid", "gradient"), _GIVEN, ("source_gradient", "grid_gradient")),
}
MAY_BE_NULL = {"extents", "source_gradient", "theta_gradient", "grid_gradient"}
"""Without extents images fill their canvas; a gradient that is not wanted is not computed."""

_INT32 = 2**31 - 1


class Sampling(NamedTuple):
    """Which kernel, and the integers that it takes as they are. Twin of the struct Sampling.

    mode, padding: see `stn_deploy.stn.sample`. element: f32, f16 or bf16. channels_last: (N, H, W, C) in
    memory, C a multiple of what fits into `VECTOR_BYTES`.
    """

    dimensions: int = 2
    mode: str = "bilinear"
    padding: str = "border"
    align_corners: bool = False
    homogeneous: bool = False
    element: str = "f32"
    channels_last: bool = False


class Lengths(NamedTuple):
    """Of U (n, c, depth, height, width), depth 1 for images; theta (n, k, .); V: ``points`` positions.

    k is 0 where the grid is given. Twin of the struct Lengths.
    """

    n: int
    c: int
    depth: int
    height: int
    width: int
    k: int
    points: int


@dataclass(frozen=True, eq=False)
class Kernel:
    """One function of the shipped PTX. There is one object for each, so they are told apart by identity.

    Attributes:
        name: of the function.
        module: of the PTX file that holds it, without its suffix.
        layout: of its arguments, in the letters of the module ``struct``: P, a pointer; i, an int32.
    """

    operation: str
    sampling: Sampling
    name: str
    module: str
    layout: str


class Launch(NamedTuple):
    """A kernel, how many blocks of `THREADS` it is launched with, and its arguments in order."""

    kernel: Kernel
    blocks: int
    arguments: tuple[int, ...]


def blocks_for(lengths: Lengths) -> int:
    """Blocks of one dimension: tiles of positions x groups of channels x groups of images; at least 1."""
    tiles = -(-lengths.points // POINTS_PER_BLOCK)
    channels = -(-lengths.c // CHANNELS_PER_BLOCK)
    each = max(tiles * channels, 1)
    return each * max(min(lengths.n, max(BLOCKS_WANTED // each, 1)), 1)


@lru_cache(maxsize=1024)
def kernel_for(operation: str, sampling: Sampling) -> Kernel:
    """The kernel that does an operation so.

    Raises:
        ArgumentError: an unknown operation, mode, padding or element; a channels-last backward.
    """
    check_choice("operation", operation, tuple(ARGUMENTS))
    if sampling.dimensions not in MODES:
        raise ArgumentError(f"dimensions: expected 2 or 3, got {sampling.dimensions!r}")
    check_choice("mode", sampling.mode, MODES[sampling.dimensions])
    check_choice("padding", sampling.padding, PADDINGS)
    check_choice("element", sampling.element, tuple(ELEMENT_BYTES))
    if sampling.channels_last and operation.endswith("_backward"):
        raise ArgumentError(f"{operation}: expected a contiguous source, got channels-last; copy it first")
    module = f"{operation}_{sampling.dimensions}d_{INTERPOLATIONS[sampling.mode]}"
    name = f"{module}_{sampling.element}" + "_channels_last" * sampling.channels_last
    before, integers, after = ARGUMENTS[operation]
    layout = "P" * len(before) + "i" * len(integers) + "P" * len(after)
    return Kernel(operation, sampling, name, module, layout)


def plan_launch(
    operation: str, sampling: Sampling, lengths: Lengths, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> Launch:
    """What is to be launched.

    Args:
        operation: theta_grid_sample, grid_sample, or either with _backward.
        inputs, outputs: addresses in the memory of the GPU, in the order of `ARGUMENTS`; 0 is null.
    Raises:
        ArgumentError: an unknown setting; another number of addresses; a null where none may be.
        ShapeError: lengths that int32 does not hold, or that are not positive.
    """
    kernel = kernel_for(operation, sampling)
    before, _, after = ARGUMENTS[operation]
    if len(inputs) != len(before) or len(outputs) != len(after) or 0 in inputs or 0 in outputs:
        _check_addresses(kernel.name, (*before, *after), (*inputs, *outputs))
    given = operation.startswith("grid_sample")
    if min(lengths[:5]) < 1 or lengths.points < 1 or max(lengths) > _INT32 or (lengths.k < 1) is not given:
        raise ShapeError(
            f"{kernel.name}: expected lengths from 1 to {_INT32}, k = 0 for a given grid, got {lengths}"
        )
    blocks = blocks_for(lengths)
    if blocks > _INT32:
        raise ShapeError(f"{kernel.name}: expected work for at most {_INT32} blocks, got {lengths}")
    sizes = (*lengths[:5], lengths.points) if given else lengths
    flags = (PADDING_CODES[sampling.padding], int(sampling.align_corners))
    divides = () if given else (int(sampling.homogeneous),)
    return Launch(kernel, blocks, (*inputs, *sizes, *flags, *divides, *outputs))


def takes_channels_last(c: int, element: str) -> bool:
    """Whether so many channels may be read channels-last: whole vectors of them."""
    return c * ELEMENT_BYTES[element] % VECTOR_BYTES == 0


def offsets_of(layout: str) -> list[int]:
    """Where each argument lies when all are packed one after another, each aligned as in C."""
    sizes = (struct.calcsize(f"@{letter}") for letter in layout)
    ends = (struct.calcsize(f"@{layout[: index + 1]}") for index in range(len(layout)))
    return [end - size for end, size in zip(ends, sizes, strict=True)]


def _check_addresses(name: str, expected: tuple[str, ...], addresses: tuple[int, ...]) -> None:
    if len(expected) != len(addresses):
        raise ArgumentError(f"{name}: expected the addresses {', '.join(expected)}, got {len(addresses)}")
    for argument, address in zip(expected, addresses, strict=True):
        if not address and argument not in MAY_BE_NULL:
            raise ArgumentError(f"{name}: expected the address of {argument}, got null")
