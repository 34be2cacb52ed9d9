"""What the operators of torch refuse, and in which words."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.plugins.operators import grid_sample, theta_grid_sample
from tests.operator_inputs import OUTPUT, SETTINGS, grid_of, tensors

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "flat source": ({"source": torch.zeros(3, 7, 12)}, ShapeError, "source: expected (n, c, H, W)"),
    "no pixels": ({"source": torch.zeros(3, 2, 0, 12)}, ShapeError, "source: expected at least 1 pixel"),
    "whole numbers": (
        {"source": torch.zeros(3, 2, 7, 12, dtype=torch.uint8)},
        ArgumentError,
        "call .float()",
    ),
    "array": (
        {"source": tensors()["source"].numpy()},
        ArgumentError,
        "source: expected a tensor, got ndarray",
    ),
    "long basis": (
        {"basis": torch.zeros(21, 5)},
        ShapeError,
        "basis: expected (20, K), a row for each pixel",
    ),
    "empty basis": (
        {"basis": torch.zeros(20, 0), "theta": torch.zeros(3, 0, 2)},
        ShapeError,
        "basis: expected (20, K)",
    ),
    "other K": ({"theta": torch.zeros(3, 6, 2)}, ShapeError, "theta: expected (3, 5, 2), (n, K, 2) of"),
    "other batch": ({"theta": torch.zeros(1, 5, 2)}, ShapeError, "theta: expected (3, 5, 2)"),
    "no divisor": ({"homogeneous": True}, ShapeError, "theta: expected (3, 5, 3), (n, K, 3) of this source"),
    "double theta": (
        {"theta": torch.zeros(3, 5, 2, dtype=torch.float64)},
        ArgumentError,
        "theta: expected torch.float32 for a source of torch.float32, got torch.float64; call .float()",
    ),
    "half basis": ({"basis": torch.zeros(20, 5).half()}, ArgumentError, "basis: expected torch.float32"),
    "other device": (
        {"basis": torch.zeros(20, 5, device="meta")},
        ArgumentError,
        "basis: expected a tensor on cpu",
    ),
    "flat extents": (
        {"extents": torch.ones(3)},
        ShapeError,
        "extents: expected (3, 2), (height, width) of each",
    ),
    "learned basis": (
        {"basis": torch.zeros(20, 5).requires_grad_()},
        ArgumentError,
        "basis: expected a constant, got a tensor that wants a gradient; call basis.detach()",
    ),
    "learned extents": ({"extents": torch.ones(3, 2).requires_grad_()}, ArgumentError, "extents.detach()"),
    "one length": ({"output_size": (20,)}, ShapeError, "output_size: expected 2 lengths"),
    "negative": ({"output_size": (-5, -4)}, ShapeError, "output_size: expected 2 lengths of at least 0"),
    "one number": ({"output_size": 20}, ArgumentError, "output_size: expected whole numbers"),
    "fractions": ({"output_size": (5.0, 4)}, ArgumentError, "(h, w) or (d, h, w), got (5.0, 4)"),
    "mode": ({"mode": "trilinear"}, ArgumentError, "mode: expected one of nearest, bilinear, bicubic"),
    "padding": ({"padding": "wrap"}, ArgumentError, "padding: expected one of border, zeros, reflection"),
    "switch": ({"align_corners": 1}, ArgumentError, "align_corners: expected True or False, got 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    changed, kind, message = REFUSED[name]
    with pytest.raises(kind, match=re.escape(message)):
        theta_grid_sample(**{**tensors(), "output_size": OUTPUT, **changed})


@pytest.mark.parametrize(
    ("grid", "kind", "message"),
    [
        (torch.zeros(3, 20, 2), ShapeError, "grid: expected (n, h, w, 2)"),
        (torch.zeros(3, 5, 4, 3), ShapeError, "grid: expected (n, h, w, 2)"),
        (torch.zeros(2, 5, 4, 2), ShapeError, "grid: expected a batch of 3 like source, got 2"),
        (torch.zeros(3, 5, 4, 2).half(), ArgumentError, "grid: expected torch.float32"),
        (None, ArgumentError, "grid: expected a tensor, got None"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(grid: Tensor, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        grid_sample(tensors()["source"], grid)


def test_gradients_for_constants_are_refused_where_the_operator_is_called_directly() -> None:
    inputs = tensors()
    inputs["basis"].requires_grad_()
    sampled = torch.ops.stn_deploy.theta_grid_sample(*inputs.values(), list(OUTPUT), *SETTINGS)
    with pytest.raises(ArgumentError, match="basis: has no gradient"):
        sampled.sum().backward()


@pytest.mark.filterwarnings("ignore:`torch.jit")  # of torch, when it loads its forward mode
@pytest.mark.parametrize("name", ["source", "theta", "grid"])
def test_a_derivative_in_forward_mode_is_refused_and_not_said_to_be_nothing(name: str) -> None:
    given = tensors()
    grid = grid_of(given)

    def sampled(tensor: Tensor) -> Tensor:
        if name == "grid":
            return grid_sample(given["source"], tensor)
        return theta_grid_sample(**{**given, name: tensor}, output_size=OUTPUT)

    point = grid if name == "grid" else given[name]
    with pytest.raises(ArgumentError, match=f"{name}: expected no tangent"):
        torch.func.jvp(sampled, (point,), (torch.ones_like(point),))
    assert sampled(point).isfinite().all()
