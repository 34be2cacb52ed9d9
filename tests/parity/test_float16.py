"""The localisation network in half precision: which tensors change their type, and how far theta moves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from stn_deploy.artifact import localisation_model, read_artifact
from stn_deploy.errors import ArtifactError
from stn_deploy.export.node import OP_TYPE
from stn_deploy.export.passes import float16, freeze, inline_function, rewrite
from stn_deploy.runtime import DEFAULT_MODEL, pack_canvas
from tests.graphs import element_types, nodes
from tests.pictures import Image
from tests.tolerances import HALF_PIXEL, HALF_THETA

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


@pytest.fixture(scope="module")
def half(model: Path) -> onnx.ModelProto:
    """The random rectifier in half precision."""
    return float16(onnx.load(model))


def outputs(
    model: bytes, images: list[Image], canvas: tuple[int, int] | None = None
) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    packed, extents = pack_canvas(images, canvas=canvas)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": packed, "extents": extents}), strict=True))


def test_it_is_valid_onnx_of_opset_18_with_its_function(half: onnx.ModelProto) -> None:
    onnx.checker.check_model(half, full_check=True)
    assert {opset.domain: opset.version for opset in half.opset_import}[""] == 18
    assert len(half.functions) == 1


def test_no_node_mixes_types(half: onnx.ModelProto) -> None:
    types = element_types(half)
    for node in half.graph.node:
        if node.op_type != "Cast":
            floats = {types[name] for name in (*node.input, *node.output) if name} & {HALF, FLOAT}
            assert len(floats) <= 1, node.name


def test_the_layers_are_half_and_all_geometry_is_not(half: onnx.ModelProto) -> None:
    types = element_types(half)
    for node in nodes(half, "Conv", "Gemm", "Relu"):
        assert {types[name] for name in (*node.input, *node.output)} == {HALF}, node.name
    for node in nodes(half, OP_TYPE, "GridSample", "MatMul", "ReduceL2", "ReduceMean", "Log"):
        assert HALF not in {types.get(name) for name in (*node.input, *node.output)}, node.name
    named = {
        name: types[name]
        for name in ("images", "extents", "thumbnails", "sizes", "theta", "score", "rectified")
    }
    assert named == {
        **dict.fromkeys(("extents", "thumbnails", "sizes", "theta", "score"), FLOAT),
        "images": TensorProto.UINT8,
        "rectified": HALF,
    }


def test_the_weights_are_stored_as_half_and_rounded_once(half: onnx.ModelProto, model: Path) -> None:
    before = {item.name: numpy_helper.to_array(item) for item in onnx.load(model).graph.initializer}
    layers = {name for node in nodes(half, "Conv", "Gemm") for name in node.input[1:]}
    assert len(layers) == 14
    for item in half.graph.initializer:
        values = numpy_helper.to_array(item)
        expected = before[item.name]
        assert values.dtype == (np.float16 if item.name in layers else expected.dtype), item.name
        np.testing.assert_array_equal(values, expected.astype(values.dtype))


def test_the_network_meets_float32_in_three_casts(half: onnx.ModelProto, model: Path) -> None:
    """The thumbnail and the shape of the crop go in, the parameters come out; then what is rectified."""
    added = len(nodes(half, "Cast")) - len(nodes(onnx.load(model), "Cast"))
    assert added == 3 + 1


def test_theta_and_pixels_stay_where_they_were(
    half: onnx.ModelProto, model: Path, crops: list[Image]
) -> None:
    before, after = outputs(model.read_bytes(), crops), outputs(half.SerializeToString(), crops)
    assert after["rectified"].dtype == np.float16
    assert after["theta"].dtype == after["score"].dtype == np.float32
    assert np.abs(after["theta"] - before["theta"]).max() < HALF_THETA
    assert np.abs(after["theta"] - before["theta"]).max() > 0
    scaled = np.abs(after["rectified"].astype(np.float32) - before["rectified"]) * 60
    assert scaled.mean() < HALF_PIXEL


def test_a_weight_that_others_read_too_is_copied(model: Path) -> None:
    """A bias that the geometry uses as well keeps its float32 for the geometry."""
    shared = onnx.load(model)
    (bias,) = {node.input[2] for node in nodes(shared, "Gemm") if "last" in node.input[2]}
    theta = next(node for node in shared.graph.node if "theta" in node.output)
    theta.output[0] = "theta_before"
    shared.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "first"))
    for node in (
        onnx.helper.make_node("Gather", [bias, "first"], ["one"], name="one"),
        onnx.helper.make_node("Add", ["theta_before", "one"], ["theta"], name="moved"),
    ):
        shared.graph.node.insert(list(shared.graph.node).index(theta) + 1, node)
    ordered = list(shared.graph.node)
    one, moved = (next(node for node in ordered if node.name == name) for name in ("one", "moved"))
    place = ordered.index(theta) + 1
    ordered = [node for node in ordered if node.name not in ("one", "moved")]
    ordered[place:place] = [one, moved]
    del shared.graph.node[:]
    shared.graph.node.extend(ordered)
    types = element_types(float16(shared))
    assert types[bias] == FLOAT
    assert types[f"{bias}_float16"] == HALF


def test_the_shipped_file_shrinks_to_little_more_than_half(tmp_path: Path) -> None:
    """The basis and the grid of the thumbnail stay in float32: an eighth of the file."""
    target = tmp_path / "half.onnx"
    rewrite(DEFAULT_MODEL, target, float16)
    assert 0.5 < target.stat().st_size / DEFAULT_MODEL.stat().st_size < 0.6
    once = target.read_bytes()
    rewrite(DEFAULT_MODEL, target, float16)
    assert target.read_bytes() == once


def test_the_localisation_part_can_be_cut_out_and_takes_and_gives_float32(half: onnx.ModelProto) -> None:
    part = onnx.load_from_string(localisation_model(half.SerializeToString()))
    onnx.checker.check_model(part, full_check=True)
    values = [*part.graph.input, *part.graph.output]
    assert {value.name: value.type.tensor_type.elem_type for value in values} == dict.fromkeys(
        ("thumbnails", "sizes", "theta", "score"), FLOAT
    )


def test_it_fits_a_file_whose_function_was_inlined(model: Path, crops: list[Image]) -> None:
    half = float16(inline_function(onnx.load(model)))
    samplers = nodes(half, "GridSample")
    assert len(samplers) == 2
    assert {element_types(half)[name] for node in samplers for name in node.input} == {FLOAT}
    assert outputs(half.SerializeToString(), crops)["rectified"].dtype == np.float16


def test_it_fits_a_file_whose_sizes_are_fixed(model: Path, crops: list[Image], tmp_path: Path) -> None:
    canvas = (max(crop.shape[0] for crop in crops) + 3, max(crop.shape[1] for crop in crops) + 2)
    later, sooner = tmp_path / "later.onnx", tmp_path / "sooner.onnx"
    fixed = partial(freeze, batch=len(crops), canvas=canvas)
    rewrite(model, later, float16, fixed)
    rewrite(model, sooner, fixed, float16)
    expected = outputs(later.read_bytes(), crops, canvas)
    for name, found in outputs(sooner.read_bytes(), crops, canvas).items():
        np.testing.assert_array_equal(found, expected[name], err_msg=name)


def test_the_model_is_not_touched(model: Path) -> None:
    given = onnx.load(model)
    before = given.SerializeToString(deterministic=True)
    float16(given)
    assert given.SerializeToString(deterministic=True) == before


def test_a_second_time_is_refused(half: onnx.ModelProto) -> None:
    with pytest.raises(ArtifactError, match="expected a network in float32, got one in float16"):
        float16(half)


@pytest.mark.parametrize("value", [7e4, float("nan"), float("inf")])
def test_a_weight_beyond_half_is_named(model: Path, value: float) -> None:
    large = onnx.load(model)
    (bias,) = (item for item in large.graph.initializer if item.name.endswith("reduce.bias"))
    values = numpy_helper.to_array(bias).copy()
    values[3] = value
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    with pytest.raises(ArtifactError, match="reduce.bias: expected weights up to 65504 in size"):
        float16(large)


def test_a_file_without_a_network_is_refused() -> None:
    data, _ = read_artifact(DEFAULT_MODEL)
    empty = onnx.load_from_string(data)
    kept = [node for node in empty.graph.node if node.op_type not in ("Conv", "Gemm")]
    del empty.graph.node[:]
    empty.graph.node.extend(kept)
    with pytest.raises(ArtifactError, match="expected layers with weights between thumbnails and theta"):
        float16(empty)
