"""Tensors that samplers cannot use, the fast, the readable and that of the node, are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.stn import reference_gradients, reference_sample, sample, theta_grid_sample
from tests.refusals import check_refusal

Changes = dict[str, Any]

SIZE = (4, 6)
SOURCE = torch.zeros(2, 3, 5, 9)
GRID = torch.zeros(2, *SIZE, 2)
VOLUME = torch.zeros(2, 1, 3, 5, 4)
VOLUME_GRID = torch.zeros(2, 2, 4, 6, 3)
SOLID: Changes = {"source": VOLUME, "grid": VOLUME_GRID, "mode": "trilinear"}

SHAPES: dict[str, tuple[Changes, str]] = {
    "no batch": ({"source": SOURCE[0]}, "source: expected (n, c, H, W) or (n, c, D, H, W), got (3, 5, 9)"),
    "six dimensions": ({"source": VOLUME[None]}, "source: expected ... got (1, 2, 1, 3, 5, 4)"),
    "no rows": ({"source": SOURCE[:, :, :0]}, "source: expected at least 1 pixel... got (2, 3, 0, 9)"),
    "no columns": ({"source": SOURCE[..., :0]}, "source: expected at least 1 pixel... got (2, 3, 5, 0)"),
    "no depth": ({**SOLID, "source": VOLUME[:, :, :0]}, "source: expected at least 1 pixel... got (2, 1, 0"),
    "no batch of grids": ({"grid": GRID[0]}, "grid: expected (n, h, w, 2) ... got (4, 6, 2)"),
    "grid of a volume": ({"grid": VOLUME_GRID}, "grid: expected (n, h, w, 2) ... got (2, 2, 4, 6, 3)"),
    "flat grid": ({**SOLID, "grid": GRID}, "grid: expected (n, d, h, w, 3) ... got (2, 4, 6, 2)"),
    "x alone": ({"grid": GRID[..., :1]}, "grid: expected (n, h, w, 2) ... got (2, 4, 6, 1)"),
    "planes": ({"grid": GRID.movedim(-1, 1)}, "grid: expected (n, h, w, 2) ... got (2, 2, 4, 6)"),
    "one source": ({"source": SOURCE[:1]}, "grid: expected a batch of 1 like source, got 2; ....expand"),
    "one grid": ({"grid": GRID[:1]}, "grid: expected a batch of 2 like source, got 1; ....expand"),
    "no source": ({"source": SOURCE[:0]}, "grid: expected a batch of 0 like source, got 2"),
    "no rows of V": ({"grid": GRID[:, :0]}, "grid: expected an output of at least 1 pixel, got (2, 0, 6, 2)"),
    "no columns of V": ({"grid": GRID[:, :, :0]}, "grid: expected an output of at least 1 pixel, got (2, 4"),
    "one row, antialiased": (
        {"grid": GRID[:, :1], "antialias": True},
        "grid: expected at least 2 pixels ... for antialias, got (2, 1, 6, 2)",
    ),
    "one column, antialiased": (
        {"source": torch.zeros(2, 3, 24, 60), "grid": GRID[:, :, :1], "antialias": True},
        "grid: expected at least 2 pixels ... for antialias, got (2, 4, 1, 2)",
    ),
    "one pixel, antialiased": (
        {"grid": GRID[:, :1, :1], "antialias": True},
        "grid: expected at least 2 pixels ... for antialias, got (2, 1, 1, 2)",
    ),
    "one slice, antialiased": (
        {**SOLID, "grid": VOLUME_GRID[:, :1], "antialias": True},
        "grid: expected at least 2 pixels ... for antialias, got (2, 1, 4, 6, 3)",
    ),
}

KINDS: dict[str, tuple[Changes, str]] = {
    "bytes": (
        {"source": SOURCE.byte()},
        "source: expected a floating-point tensor, got torch.uint8; call .float()",
    ),
    "truth values": ({"source": SOURCE.bool()}, "source: expected ... got torch.bool"),
    "complex": ({"source": SOURCE.to(torch.complex64)}, "source: expected ... got torch.complex64"),
    "array": ({"source": SOURCE.numpy()}, "source: expected ...tensor, got ...ndarray"),
    "nothing": ({"source": None}, "source: expected ...tensor, got None"),
    "array of positions": ({"grid": GRID.numpy()}, "grid: expected ...tensor, got ...ndarray"),
    "whole positions": ({"grid": GRID.int()}, "grid: expected torch.float32 ... got torch.int32"),
    "half positions": (
        {"grid": GRID.half()},
        "grid: expected torch.float32 ... got torch.float16; call .float()",
    ),
    "all half": (
        {"source": SOURCE.half(), "grid": GRID.half()},
        "grid: expected torch.float32 for a source of torch.float16, got torch.float16",
    ),
    "float64 positions": ({"grid": GRID.double()}, "grid: expected torch.float32 ... got torch.float64"),
    "float64 positions for half": (
        {"source": SOURCE.bfloat16(), "grid": GRID.double()},
        "grid: expected torch.float32 for a source of torch.bfloat16, got torch.float64",
    ),
    "float64 source": ({"source": SOURCE.double()}, "grid: expected torch.float64 ... got torch.float32"),
    "grid elsewhere": (
        {"grid": GRID.to("meta")},
        "grid: expected a tensor on cpu like source, got one on me",
    ),
    "source elsewhere": (
        {"source": SOURCE.to("meta")},
        "grid: expected a tensor on meta like source, got one",
    ),
    "unknown mode": ({"mode": "area"}, "mode: expected one of nearest, bilinear, bicubic, got 'area'"),
    "no mode": ({"mode": None}, "mode: expected one of ... got None"),
    "modes": ({"mode": ["bilinear"]}, "mode: expected one of ... got ['bilinear']"),
    "trilinear": ({"mode": "trilinear"}, "mode: expected one of nearest, bilinear, bicubic, got 'trilinear'"),
    "bilinear volume": ({**SOLID, "mode": "bilinear"}, "mode: expected one of nearest, trilinear, got 'bil"),
    "bicubic volume": ({**SOLID, "mode": "bicubic"}, "mode: expected one of nearest, trilinear, got 'bic"),
    "unknown padding": (
        {"padding": "wrap"},
        "padding: expected one of border, zeros, reflection, got 'wrap'",
    ),
    "padding of a colour": ({"padding": 0}, "padding: expected one of ... got 0"),
}


@pytest.mark.parametrize(("changes", "message"), SHAPES.values(), ids=SHAPES)
def test_the_sampler_refuses_what_has_the_wrong_shape(changes: Changes, message: str) -> None:
    arguments: Changes = {"source": SOURCE, "grid": GRID} | changes
    check_refusal(lambda: sample(**arguments), ShapeError, message)


@pytest.mark.parametrize(("changes", "message"), KINDS.values(), ids=KINDS)
def test_the_sampler_refuses_what_is_of_the_wrong_kind(changes: Changes, message: str) -> None:
    arguments: Changes = {"source": SOURCE, "grid": GRID} | changes
    check_refusal(lambda: sample(**arguments), ArgumentError, message)


NODE: dict[str, tuple[Changes, str]] = {
    "no batch": ({"source": SOURCE[0]}, "source: expected ... got (3, 5, 9)"),
    "basis of another output": ({"basis": torch.zeros(23, 3)}, "basis: expected (24, ... got (23, 3)"),
    "theta of another basis": ({"theta": torch.zeros(2, 4, 2)}, "theta: expected ... got (2, 4, 2)"),
    "flat theta": ({"theta": torch.zeros(2, 6)}, "theta: expected ... got (2, 6)"),
    "theta of others": ({"theta": torch.zeros(3, 3, 2)}, "theta: expected ... got (3, 3, 2)"),
    "extents of others": ({"extents": torch.ones(3, 2)}, "extents: expected ... got (3, 2)"),
}


@pytest.mark.parametrize(("changes", "message"), NODE.values(), ids=NODE)
def test_the_node_refuses_what_does_not_fit(changes: Changes, message: str) -> None:
    arguments: Changes = {
        "source": SOURCE,
        "basis": torch.zeros(24, 3),
        "theta": torch.zeros(2, 3, 2),
        "extents": torch.ones(2, 2),
        "output_size": SIZE,
    } | changes
    check_refusal(lambda: theta_grid_sample(**arguments), ShapeError, message)


REFERENCE: dict[str, tuple[Changes, type[ArgumentError], str]] = {
    "no batch": (
        {"source": SOURCE[0]},
        ShapeError,
        "source, grid: expected ... got (3, 5, 9) and (2, 4, 6, 2)",
    ),
    "one source": ({"source": SOURCE[:1]}, ShapeError, "source, grid: expected ... got (1, 3, 5, 9) and"),
    "row of positions": ({"grid": GRID[:, 0]}, ShapeError, "source, grid: expected ... (2, 6, 2)"),
    "no pixels": ({"source": SOURCE[..., :0]}, ShapeError, "source... expected ... (2, 3, 5, 0)"),
    "unknown mode": ({"mode": "area"}, ArgumentError, "mode: expected one of ... got 'area'"),
    "bicubic volume": (
        {**SOLID, "mode": "bicubic"},
        ArgumentError,
        "mode: expected one of ... got 'bicubic'",
    ),
    "trilinear": ({"mode": "trilinear"}, ArgumentError, "mode: expected one of ... got 'trilinear'"),
    "unknown padding": ({"padding": "wrap"}, ArgumentError, "padding: expected ... got 'wrap'"),
}


@pytest.mark.parametrize(("changes", "error", "message"), REFERENCE.values(), ids=REFERENCE)
def test_the_reference_refuses_what_the_sampler_refuses(
    changes: Changes, error: type[ArgumentError], message: str
) -> None:
    arguments: Changes = {"source": SOURCE, "grid": GRID} | changes
    check_refusal(lambda: reference_sample(**arguments), error, message)


def test_the_reference_refuses_a_gradient_of_another_shape() -> None:
    swapped = np.zeros((2, 3, *SIZE[::-1]))
    message = "gradient: expected ... got (2, 3, 6, 4)"
    check_refusal(lambda: reference_gradients(SOURCE, GRID, swapped), ShapeError, message)
