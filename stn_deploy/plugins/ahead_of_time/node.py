"""What a node asks of its kernel: attributes, ranks, types and lengths, checked before a launch is written.

A kernel that is stored inside an engine cannot refuse anything any more, so all that could lead it past the
end of a tensor is settled here, while the engine is built.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry.sampling import MODES
from stn_deploy.plugins.launch.plan import INTERPOLATION_CODES, INTERPOLATIONS, PADDING_CODES, Sampling

ATTRIBUTES = {
    "ThetaGridSample": ("interpolation", "padding", "align_corners", "homogeneous", "output_size"),
    "GivenGridSample": ("interpolation", "padding", "align_corners"),
}
"""Of each type of node, in the order in which TensorRT gives their values."""
KERNELS = {"ThetaGridSample": "theta_grid_sample", "GivenGridSample": "grid_sample"}
"""The operation, as kernels have it, of each type of node."""
_LONGEST = 2**31 - 1

Choice = TypeVar("Choice")


@dataclass(frozen=True, kw_only=True)
class Node:
    """Settings of one node. output_size: of V; empty where the grid has it."""

    op_type: str
    sampling: Sampling
    output_size: tuple[int, ...]

    @classmethod
    def of(cls, op_type: str, dimensions: int, attributes: Mapping[str, Sequence[int]]) -> Node:
        """A node out of its attributes, each a list of whole numbers.

        Args:
            op_type: one of `ATTRIBUTES`. dimensions: of the source, without batch and channels.
        Raises:
            ArgumentError: an attribute is missing, of another length, or out of range.
            ShapeError: the source is neither images nor volumes.
        """
        if dimensions not in MODES:
            raise ShapeError(
                "source: expected (n, c, height, width) or (n, c, depth, height, width), got "
                f"{dimensions + 2} dimensions"
            )
        if tuple(attributes) != ATTRIBUTES[op_type]:  # their values come by position later
            raise ArgumentError(
                f"{op_type}: expected the attributes {', '.join(ATTRIBUTES[op_type])}, in this order, got "
                f"{', '.join(attributes) or 'none'}; export the file again"
            )
        modes = {INTERPOLATION_CODES[INTERPOLATIONS[mode]]: mode for mode in MODES[dimensions]}
        paddings = {code: name for name, code in PADDING_CODES.items()}
        switch = {0: False, 1: True}
        sampling = Sampling(
            dimensions=dimensions,
            mode=_choice("interpolation", attributes, modes),
            padding=_choice("padding", attributes, paddings),
            align_corners=_choice("align_corners", attributes, switch),
            homogeneous="homogeneous" in attributes and _choice("homogeneous", attributes, switch),
        )
        size = tuple(int(length) for length in attributes.get("output_size", ()))
        if "output_size" in attributes and (
            len(size) != dimensions or min(size) < 0 or math.prod(size) > _LONGEST
        ):
            raise ArgumentError(
                f"output_size: expected {dimensions} lengths, none negative and of at most {_LONGEST} "
                f"positions, got {list(size)}"
            )
        return cls(op_type=op_type, sampling=sampling, output_size=size)

    def patterns(self) -> dict[str, tuple[str | int, ...]]:
        """For each input its lengths: numbers, and letters that stand for one length wherever they come."""
        dimensions = self.sampling.dimensions
        space = ("depth", "height", "width")[-dimensions:]
        source = ("n", "c", *space)
        if self.op_type == "GivenGridSample":
            return {"source": source, "grid": ("n", *(f"output {name}" for name in space), dimensions)}
        return {
            "source": source,
            "basis": (math.prod(self.output_size), "k"),
            "theta": ("n", "k", dimensions + self.sampling.homogeneous),
            "extents": ("n", dimensions),
        }

    def expect_shapes(self, shapes: Mapping[str, Sequence[int | None]], *, early: bool = False) -> None:
        """Check the inputs against each other.

        Args:
            shapes: of each input; None for a length that only the running engine knows.
            early: no length is known yet, only how many there are.
        Raises:
            ShapeError: they do not fit, or a length that must be fixed is not.
        """
        patterns = self.patterns()
        known: dict[str, tuple[int, str]] = {}
        for name, pattern in patterns.items():
            expected, got = _text(pattern, known), _text(shapes[name], {})
            if len(shapes[name]) != len(pattern):
                raise ShapeError(f"{name}: expected {expected}, got {got}")
            for wanted, length in zip(pattern, shapes[name], strict=True):
                if length is None:
                    if not early and (
                        wanted == "k" or isinstance(wanted, int)
                    ):  # a running engine could not check it
                        raise ShapeError(f"{name}: expected {expected} with {wanted} fixed, got {got}")
                    continue
                number, where = (
                    (wanted, "") if isinstance(wanted, int) else known.setdefault(wanted, (length, name))
                )
                if length != number:
                    reason = f"; {where} has {wanted} = {number}" if where else ""
                    raise ShapeError(f"{name}: expected {expected}, got {got}{reason}")
        _expect_lengths(**shapes)


def _expect_lengths(
    source: Sequence[int | None], grid: Sequence[int | None] = (), **_: Sequence[int | None]
) -> None:
    """The kernel reads a pixel wherever it samples, and counts positions in 32 bits."""
    if 0 in source[2:]:
        raise ShapeError(f"source: expected at least 1 pixel in each direction, got {_text(source, {})}")
    positions = math.prod(length for length in grid[1:-1] if length is not None)
    if positions > _LONGEST and 0 not in grid:
        raise ShapeError(f"grid: expected at most {_LONGEST} positions, got {_text(grid, {})}")


def _choice(name: str, attributes: Mapping[str, Sequence[int]], codes: Mapping[int, Choice]) -> Choice:
    values = [int(value) for value in attributes[name]]
    if len(values) != 1 or values[0] not in codes:
        listed = ", ".join(f"{code} ({word})" for code, word in codes.items())
        raise ArgumentError(f"{name}: expected one of {listed}, got {', '.join(map(str, values)) or 'none'}")
    return codes[values[0]]


def _text(pattern: Sequence[str | int | None], known: Mapping[str, tuple[int, str]]) -> str:
    """(n, 20, 2): numbers where they are known, and a question mark where nothing is."""
    parts = [
        str(known[part][0]) if isinstance(part, str) and part in known else "?" if part is None else str(part)
        for part in pattern
    ]
    return f"({', '.join(parts)})"
