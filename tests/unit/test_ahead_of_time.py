"""What a node must be before its kernel is stored in an engine, and how many blocks it is launched with."""

from __future__ import annotations

from functools import partial
from itertools import product
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from stn_deploy.errors import ArgumentError, EngineError, ShapeError
from stn_deploy.plugins import ahead_of_time
from stn_deploy.plugins.ahead_of_time import ptx
from stn_deploy.plugins.ahead_of_time.node import Node
from stn_deploy.plugins.ahead_of_time.symbolic import symbolic_blocks
from stn_deploy.plugins.launch.plan import Lengths, Sampling, blocks_for, kernel_for
from tests.refusals import check_refusal

IMAGES = {
    "interpolation": [1],
    "padding": [0],
    "align_corners": [0],
    "homogeneous": [0],
    "output_size": [24, 70],
}
SHAPES: dict[str, tuple[int | None, ...]] = {
    "source": (None, 3, None, None),
    "basis": (1680, 14),
    "theta": (None, 14, 2),
    "extents": (None, 2),
}


def node(dimensions: int = 2, changes: dict[str, list[int]] | None = None) -> Node:
    return Node.of("ThetaGridSample", dimensions, {**IMAGES, **(changes or {})})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"interpolation": [3]},
            "interpolation: expected one of 0 (nearest), 1 (bilinear), 2 (bicubic), got 3",
        ),
        ({"interpolation": []}, "interpolation: expected one of...got none"),
        ({"padding": [-1]}, "padding: expected one of 0 (border), 1 (zeros), 2 (reflection), got -1"),
        ({"padding": [0, 1]}, "padding: expected one of...got 0, 1"),
        ({"align_corners": [2]}, "align_corners: expected one of 0 (False), 1 (True), got 2"),
        ({"homogeneous": [5]}, "homogeneous: expected one of 0 (False), 1 (True), got 5"),
        ({"output_size": [24]}, "output_size: expected 2 lengths, none negative...got [24]"),
        ({"output_size": [24, -1]}, "output_size: expected 2 lengths, none negative...got [24, -1]"),
        (
            {"output_size": [1 << 16, 1 << 16]},
            "output_size: ...of at most 2147483647 positions, got [65536, 65536]",
        ),
    ],
)
def test_attributes_out_of_range_are_refused(changes: dict[str, list[int]], message: str) -> None:
    check_refusal(lambda: node(2, changes), ArgumentError, message)


def test_volumes_know_no_cubic_interpolation() -> None:
    size = [2, 24, 70]
    message = "interpolation: expected one of 0 (nearest), 1 (trilinear), got 2"
    check_refusal(lambda: node(3, {"interpolation": [2], "output_size": size}), ArgumentError, message)
    assert node(3, {"output_size": size}).sampling.mode == "trilinear"


def test_attributes_that_are_missing_or_in_another_order_are_refused() -> None:
    backwards = dict(reversed(IMAGES.items()))
    without = {name: value for name, value in IMAGES.items() if name != "padding"}
    for attributes in (backwards, without):
        message = (
            "ThetaGridSample: expected the attributes interpolation, padding, align_corners, homogeneous, "
            "output_size, in this order, got " + ", ".join(attributes)
        )
        check_refusal(partial(Node.of, "ThetaGridSample", 2, attributes), ArgumentError, message)


@pytest.mark.parametrize("dimensions", [1, 4])
def test_what_is_neither_images_nor_volumes_is_refused(dimensions: int) -> None:
    message = f"source: expected (n, c, height, width) or...got {dimensions + 2} dimensions"
    check_refusal(lambda: node(dimensions), ShapeError, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"basis": (1681, 14)}, "basis: expected (1680, k), got (1681, 14)"),
        ({"theta": (None, 13, 2)}, "theta: expected (n, 14, 2), got (?, 13, 2); basis has k = 14"),
        ({"theta": (None, 14, 3)}, "theta: expected (n, 14, 2), got (?, 14, 3)"),
        ({"theta": (None, 14)}, "theta: expected (n, 14, 2), got (?, 14)"),
        ({"extents": (None, 3)}, "extents: expected (n, 2), got (?, 3)"),
        (
            {"source": (4, 3, 9, 9), "theta": (5, 14, 2)},
            "theta: expected (4, 14, 2), got (5, 14, 2); source has n",
        ),
        ({"source": (None, 3, 0, None)}, "source: expected at least 1 pixel in each direction, got (?, 3, 0"),
        ({"theta": (5, 14, 2), "extents": (1, 2)}, "extents: expected (5, 2), got (1, 2); theta has n = 5"),
        ({"basis": (None, 14)}, "basis: expected (1680, k) with 1680 fixed, got (?, 14)"),
        ({"theta": (None, None, 2)}, "theta: expected (n, 14, 2) with k fixed, got (?, ?, 2)"),
    ],
)
def test_inputs_that_do_not_fit_each_other_are_refused(
    changes: dict[str, tuple[int | None, ...]], message: str
) -> None:
    node().expect_shapes(SHAPES)
    check_refusal(lambda: node().expect_shapes({**SHAPES, **changes}), ShapeError, message)


def test_before_lengths_are_known_their_number_is_checked() -> None:
    unknown = {name: (None,) * len(shape) for name, shape in SHAPES.items()}
    node().expect_shapes(unknown, early=True)
    check_refusal(
        lambda: node().expect_shapes({**unknown, "theta": (None,) * 4}, early=True),
        ShapeError,
        "theta: expected (n, k, 2), got (?, ?, ?, ?)",
    )


def test_a_homogeneous_theta_has_a_column_more_and_a_grid_gives_the_size_of_the_output() -> None:
    assert node(2, {"homogeneous": [1]}).patterns()["theta"] == ("n", "k", 3)
    given = Node.of("GivenGridSample", 3, {name: IMAGES[name] for name in list(IMAGES)[:3]})
    given.expect_shapes({"source": (2, 1, 4, 5, 6), "grid": (2, None, None, 7, 3)})
    many = {"source": (None, 1, 4, 5, 6), "grid": (None, 2048, None, 2**20, 3)}
    check_refusal(
        lambda: given.expect_shapes(many),
        ShapeError,
        "grid: expected at most 2147483647 positions, got (?, 2048, ?, 1048576, 3)",
    )
    message = "grid: expected (2, output depth, output height, output width, 3), got (2, 8, 7, 2)"
    check_refusal(
        lambda: given.expect_shapes({"source": (2, 1, 4, 5, 6), "grid": (2, 8, 7, 2)}), ShapeError, message
    )


def test_symbolic_blocks_are_those_of_the_plan() -> None:
    # Whole numbers have the operators of TensorRT's expressions.
    plugin = SimpleNamespace(cdiv=lambda a, b: -(-a // b), min=min, max=max, ShapeExpr=int)
    for n, c, points in product(
        (0, 1, 5, 4096, 1 << 20), (1, 3, 32, 33, 512), (0, 1, 128, 129, 3200, 1 << 22)
    ):
        lengths = Lengths(n=n, c=c, depth=1, height=7, width=9, k=20, points=points)
        assert symbolic_blocks(plugin, n, c, points) == blocks_for(lengths)


def test_only_the_kernel_itself_is_renamed_for_versions_that_forget_long_names() -> None:
    kernel = kernel_for("theta_grid_sample", Sampling(element="f32"))
    whole, renamed = ptx.compiled(kernel, (10, 14, 1)), ptx.compiled(kernel, (10, 13, 3))
    assert (whole.name, renamed.name) == (kernel.name, "stn_deploy")
    assert whole.sha256 == renamed.sha256
    assert f".entry {kernel.name}(" in whole.text
    assert f"{kernel.name}(" not in renamed.text
    for other in ("f32_channels_last", "f16", "bf16"):
        entry = f".entry theta_grid_sample_2d_linear_{other}("
        assert entry in whole.text
        assert entry in renamed.text


def test_text_that_is_missing_or_lacks_the_kernel_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    kernel = kernel_for("grid_sample", Sampling())
    monkeypatch.setattr(ptx, "PTX", tmp_path)
    with pytest.raises(
        EngineError, match=r"grid_sample_2d_linear.ptx: cannot be read.*install stn-deploy again"
    ):
        ptx.compiled(kernel, (11, 0))
    (tmp_path / "grid_sample_2d_linear.ptx").write_text(".visible .entry grid_sample_2d_linear_f16(\n")
    with pytest.raises(EngineError, match="expected the kernel grid_sample_2d_linear_f32, found none"):
        ptx.compiled(kernel, (11, 0))


def test_a_version_without_ahead_of_time_plugins_is_refused_with_the_other_way() -> None:
    old = ModuleType("tensorrt")
    old.__version__ = "10.8.0.43"  # type: ignore[attr-defined]
    assert not ahead_of_time.is_available(old)
    with pytest.raises(EngineError, match=r"TensorRT 10.8.0.43: takes no plugins.*stn-deploy plugin build"):
        ahead_of_time.register(old)
