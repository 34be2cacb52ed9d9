"""Any model's GridSample as a node of the plugin: the same numbers by its function, and by the kernel."""

from __future__ import annotations

import ctypes
import json
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from stn_deploy.errors import ArtifactError
from stn_deploy.export.passes.given_grid import give_grids
from stn_deploy.plugins.launch.plan import (
    INTERPOLATION_CODES,
    INTERPOLATIONS,
    PADDING_CODES,
    THREADS,
    Lengths,
    Sampling,
    blocks_for,
    kernel_for,
)
from tests.emulation import emulate
from tests.parity.test_node_engines import in_engine
from tests.tolerances import SAMPLE

SIZES = {2: ((7, 12), (5, 4)), 3: ((4, 7, 5), (3, 2, 5))}
MODES = [(16, 2, "bilinear"), (16, 2, "bicubic"), (16, 2, "nearest"), (20, 2, "linear"), (20, 2, "cubic")]
MODES += [(20, 3, "linear"), (20, 3, "nearest")]
KINDS = [(*mode, padding, aligned) for mode, padding, aligned in product(MODES, PADDING_CODES, (0, 1))]


def grid_sample(
    name: str, mode: str = "bilinear", padding: str = "zeros", aligned: int = 0, source: str = "source"
) -> onnx.NodeProto:
    node = helper.make_node("GridSample", [source, "grid"], [name], name=f"node_{name}", mode=mode)
    settings = {"padding_mode": padding, "align_corners": aligned}
    node.attribute.extend(helper.make_attribute(*item) for item in settings.items())
    return node


def model_of(
    *nodes: onnx.NodeProto,
    opset: int = 16,
    dimensions: int = 2,
    element: int = TensorProto.FLOAT,
    grid: int = TensorProto.FLOAT,
) -> ModelProto:
    """Nodes on one source and one grid of open sizes; each output is one of the model."""
    space = ["d", "h", "w"][-dimensions:]
    inputs = [
        helper.make_tensor_value_info("source", element, ["n", "c", *space]),
        helper.make_tensor_value_info("grid", grid, ["n", *(f"to {each}" for each in space), dimensions]),
    ]
    names = [name for node in nodes for name in node.output]
    shape = [None] * (dimensions + 2)
    outputs = [helper.make_tensor_value_info(name, element, shape) for name in names]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def inputs_for(dimensions: int, element: Any = np.float32, grid: Any = np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(dimensions)
    size, output = SIZES[dimensions]
    source = rng.normal(size=(3, 2, *size)).astype(element)
    return {"source": source, "grid": rng.uniform(-1.5, 1.5, (3, *output, dimensions)).astype(grid)}


def run(model: ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    results: list[np.ndarray] = session.run(None, feeds)
    return results


def without_opset() -> ModelProto:
    model = model_of(grid_sample("Y"))
    del model.opset_import[:]
    return model


def words(kind: tuple[Any, ...]) -> str:
    return " ".join(map(str, kind))


@pytest.mark.parametrize("kind", KINDS, ids=words)
def test_the_function_gives_the_same_numbers_and_so_does_the_kernel(kind: tuple[Any, ...]) -> None:
    opset, dimensions, mode, padding, aligned = kind
    model = model_of(grid_sample("Y", mode, padding, aligned), opset=opset, dimensions=dimensions)
    given = give_grids(model, nearest=True)
    feeds = inputs_for(dimensions)
    (expected,), (found,) = run(model, feeds), run(given, feeds)
    np.testing.assert_array_equal(found, expected)
    (node,) = given.graph.node
    assert np.abs(by_kernel(node, feeds) - expected).max() <= 2 * SAMPLE


def by_kernel(node: onnx.NodeProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """What the node's kernel gives, chosen by nothing but the node's attributes."""
    said = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    assert (said["plugin_namespace"], said["plugin_version"]) == (b"stn_deploy", b"1")
    source, grid = feeds["source"], feeds["grid"]
    dimensions = grid.shape[-1]
    (mode,) = {
        mode
        for mode, name in INTERPOLATIONS.items()
        if INTERPOLATION_CODES[name] == said["interpolation"]
        and (mode == "trilinear") == (dimensions == 3 and name == "linear")
    }
    kernel = kernel_for("grid_sample", Sampling(dimensions=dimensions, mode=mode))
    n, c = source.shape[:2]
    points = int(np.prod(grid.shape[1:-1]))
    space = (1,) * (3 - dimensions) + source.shape[2:]
    output = np.full((n, c, *grid.shape[1:-1]), 77, np.float32)
    integers = [n, c, *space, points, said["padding"], said["align_corners"]]
    arguments = [ctypes.c_void_p(array.ctypes.data) for array in (source, grid)]
    depth, height, width = space
    lengths = Lengths(n=n, c=c, depth=depth, height=height, width=width, k=0, points=points)
    emulate(
        kernel.name,
        blocks_for(lengths),
        THREADS,
        [*arguments, *map(ctypes.c_int32, integers), ctypes.c_void_p(output.ctypes.data)],
    )
    return output


@pytest.mark.parametrize(
    ("element", "grid"), [("FLOAT16", "FLOAT"), ("FLOAT", "DOUBLE"), ("FLOAT16", "FLOAT16")]
)
def test_sources_keep_their_type_and_grids_become_float32(element: str, grid: str) -> None:
    kinds = {
        name: (getattr(TensorProto, name), numpy)
        for name, numpy in (("FLOAT", np.float32), ("FLOAT16", np.float16), ("DOUBLE", np.float64))
    }
    model = model_of(grid_sample("Y"), opset=18, element=kinds[element][0], grid=kinds[grid][0])
    given = give_grids(model)
    assert [node.op_type for node in given.graph.node] == ["Cast", "GivenGridSample"][grid == "FLOAT" :]
    feeds = inputs_for(2, kinds[element][1], kinds[grid][1])
    (found,) = run(given, feeds)
    assert found.dtype == kinds[element][1]
    (expected,) = run(
        model_of(grid_sample("Y")), {name: value.astype(np.float32) for name, value in feeds.items()}
    )
    assert np.abs(found - expected).max() <= 2.0**-9


def test_nodes_within_branches_are_replaced_too() -> None:
    branches = {}
    for name, node in (("then", grid_sample("T")), ("else", helper.make_node("Identity", ["source"], ["E"]))):
        value = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, [None] * 4)
        branches[f"{name}_branch"] = helper.make_graph([node], name, [], [value])
    branch = helper.make_node("If", ["flag"], ["Y"])
    branch.attribute.extend(helper.make_attribute(*item) for item in branches.items())
    model = model_of(branch)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "flag"))
    given = give_grids(model)
    inner = {item.name: [node.op_type for node in item.g.node] for item in given.graph.node[0].attribute}
    assert inner == {"then_branch": ["GivenGridSample"], "else_branch": ["Identity"]}
    feeds = inputs_for(2)
    np.testing.assert_array_equal(run(given, feeds)[0], run(model, feeds)[0])


def test_only_the_dimensions_that_are_asked_for_are_replaced() -> None:
    volume = model_of(grid_sample("Y", "linear"), opset=20, dimensions=3)
    assert give_grids(volume, dimensions=(3,)).graph.node[0].op_type == "GivenGridSample"
    images = model_of(grid_sample("Y"))
    for model, asked, place, axes in ((volume, 2, "volumes", 3), (images, 3, "images", 2)):
        with pytest.raises(ArtifactError, match=f"found them on {place} alone; .*--dimensions {axes},"):
            give_grids(model, dimensions=(asked,))


def test_a_model_may_be_replaced_twice_and_keeps_one_function_that_is_right_for_all() -> None:
    model = model_of(grid_sample("A"), grid_sample("B"))
    half = give_grids(model)
    half.graph.node[1].CopyFrom(model.graph.node[1])
    both = give_grids(half)
    assert [function.name for function in both.functions] == ["GivenGridSample"]
    feeds = inputs_for(2)
    np.testing.assert_array_equal(run(both, feeds), run(model, feeds))
    with pytest.raises(ArtifactError, match="all are replaced already"):
        give_grids(both)
    half.graph.node[1].CopyFrom(grid_sample("B", aligned=1))
    with pytest.raises(ArtifactError, match="found several kinds"):
        give_grids(half)
    assert not give_grids(half, function=False).functions  # the old one would be wrong for the new node


def test_nodes_of_several_kinds_cannot_share_a_function_but_are_replaced_without() -> None:
    model = model_of(grid_sample("A"), grid_sample("B", padding="border"), grid_sample("C"))
    with pytest.raises(ArtifactError, match="found several kinds; without it .*--function strip"):
        give_grids(model)
    given = give_grids(model, function=False)
    assert [node.op_type for node in given.graph.node] == ["GivenGridSample"] * 3
    assert not given.functions
    paddings = [item.i for node in given.graph.node for item in node.attribute if item.name == "padding"]
    assert paddings == [PADDING_CODES[name] for name in ("zeros", "border", "zeros")]
    with pytest.raises(Exception, match="GivenGridSample"):  # of ONNX Runtime
        onnxruntime.InferenceSession(given.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            model_of(grid_sample("Y", "nearest")),
            "node_Y: nearest: half way between two pixels the plugin takes the later",
        ),
        (
            model_of(grid_sample("Y", "cubic"), opset=20, dimensions=3),
            "got cubic on a source of 5 dimensions",
        ),
        (
            model_of(grid_sample("Y", "smooth")),
            "expected a mode and padding of ONNX's GridSample, got smooth, zeros",
        ),
        (
            model_of(grid_sample("Y"), element=TensorProto.DOUBLE),
            "expected a source of float32, .*got DOUBLE",
        ),
        (
            model_of(helper.make_node("Identity", ["source"], ["Y"])),
            "expected a node GridSample .*found none",
        ),
        (
            model_of(helper.make_node("GridSample", ["source"], ["Y"])),
            "^Y: expected a source and a grid, got",
        ),
        (without_opset(), "expected one whose shapes can be inferred"),
    ],
)
def test_what_the_plugin_cannot_take_is_refused(model: ModelProto, message: str) -> None:
    before = model.SerializeToString()
    with pytest.raises(ArtifactError, match=message):
        give_grids(model)
    assert model.SerializeToString() == before


@pytest.mark.tensorrt
@pytest.mark.parametrize(("version", "dimensions"), [("1.5", (2,)), ("1.7", (2, 3))])
def test_tensorrt_takes_the_function_where_it_has_no_plugin(
    version: str, dimensions: tuple[int, ...], tmp_path: Any
) -> None:
    jobs = []
    for axes in dimensions:
        mode, opset = ("bilinear", 18) if axes == 2 else ("linear", 20)
        path = tmp_path / f"{axes}.onnx"
        onnx.save(give_grids(model_of(grid_sample("Y", mode, "border"), opset=opset, dimensions=axes)), path)
        feeds = inputs_for(axes)
        shapes = {name: [[n, *value.shape[1:]] for n in (1, 3, 8)] for name, value in feeds.items()}
        jobs.append({"model": str(path), "shapes": shapes})
    assert json.loads(in_engine(f"tensorrt-rtx-{version}", "build_networks.py", jobs)) == [None] * len(jobs)
