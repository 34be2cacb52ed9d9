"""What the builder of engines changes in a file for one GPU or one version: the same numbers otherwise."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from stn_deploy.artifact import read_artifact
from stn_deploy.errors import ArtifactError
from stn_deploy.export.crops import crops_of
from stn_deploy.export.engine.builder import engine_precision
from stn_deploy.export.passes import float16, inline_function, int8, rewrite
from stn_deploy.export.passes.products import spell_out_products
from stn_deploy.export.passes.weights_only import weights_only
from stn_deploy.runtime.canvas import pack_canvas
from stn_deploy.runtime.engines.ort import OrtFullGraph
from tests.graphs import element_types
from tests.pictures import Image
from tests.tolerances import PIXEL_TWO_ENGINES, SCORE, THETA


def outputs(path: Path, crops: list[Image]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of 255, theta and score."""
    data, spec = read_artifact(path)
    rectified, (theta, score) = OrtFullGraph(data).run(*pack_canvas(crops))
    return rectified * spec.std, theta, score


def test_no_float32_product_is_left_and_the_numbers_are_the_same(
    model: Path, tmp_path: Path, crops: list[Image]
) -> None:
    spelled = tmp_path / "spelled.onnx"
    rewrite(model, spelled, inline_function, spell_out_products)
    assert not {"Gemm", "MatMul"} & {node.op_type for node in onnx.load(spelled).graph.node}
    for found, right, tolerance in zip(
        outputs(spelled, crops), outputs(model, crops), (PIXEL_TWO_ENGINES, THETA, SCORE), strict=True
    ):
        np.testing.assert_allclose(found, right, rtol=0, atol=tolerance)


def test_weights_that_became_kernels_are_kept_once(model: Path) -> None:
    whole = inline_function(onnx.load(model))
    spelled = spell_out_products(whole)
    assert spelled.ByteSize() < 1.1 * whole.ByteSize()


def test_products_of_half_precision_stay(model: Path) -> None:
    half = inline_function(float16(onnx.load(model)))
    before, after = element_types(half), spell_out_products(half)
    kept = [node for node in after.graph.node if node.op_type in ("Gemm", "MatMul")]
    assert kept
    assert {before[node.output[0]] for node in kept} == {TensorProto.FLOAT16}


def gemm(*, constant: bool, bias: bool, **attributes: float) -> onnx.ModelProto:
    """alpha A' B' + beta C of 5 x 3 and 3 x 4, with A' and B' transposed where asked for."""
    rng = np.random.default_rng(3)
    right = rng.normal(size=(4, 3) if attributes.get("transB") else (3, 4)).astype(np.float32)
    constants = [numpy_helper.from_array(rng.normal(size=(4,)).astype(np.float32), "c")]
    left_shape = [3, 5] if attributes.get("transA") else [5, 3]
    inputs = [helper.make_tensor_value_info("a", TensorProto.FLOAT, left_shape)]
    if constant:
        constants.append(numpy_helper.from_array(right, "b"))
    else:
        inputs.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, right.shape))
    node = helper.make_node("Gemm", ["a", "b", "c"] if bias else ["a", "b"], ["y"], **attributes)  # type: ignore[arg-type]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 4])
    graph = helper.make_graph([node], "gemm", inputs, [made], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds)[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("flips", [{}, {"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1}])
@pytest.mark.parametrize("scales", [{}, {"alpha": 0.5, "beta": -2.0}])
def test_every_form_of_gemm_is_the_same_sum(
    constant: bool, bias: bool, flips: dict[str, float], scales: dict[str, float]
) -> None:
    model = gemm(constant=constant, bias=bias, **flips, **scales)
    rng = np.random.default_rng(5)
    feeds = {
        value.name: rng.normal(size=[dim.dim_value for dim in value.type.tensor_type.shape.dim]).astype(
            np.float32
        )
        for value in model.graph.input
    }
    spelled = spell_out_products(model)
    assert "Gemm" not in {node.op_type for node in spelled.graph.node}
    np.testing.assert_allclose(run(spelled, feeds), run(model, feeds), rtol=0, atol=1e-5)


def test_products_want_functions_inlined_and_matrices(model: Path) -> None:
    with pytest.raises(ArtifactError, match="apply inline_function first"):
        spell_out_products(onnx.load(model))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("a", "b")]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    node = helper.make_node("MatMul", ["a", "b"], ["y"], name="dot")
    vectors = helper.make_model(helper.make_graph([node], "g", values, [made]))
    with pytest.raises(ArtifactError, match="dot: expected matrices as factors, found a vector"):
        spell_out_products(vectors)


def test_int8_weights_alone_are_as_small_and_nearer_to_float32(
    model: Path, tmp_path: Path, crops: list[Image]
) -> None:
    small, lighter = tmp_path / "int8.onnx", tmp_path / "weights.onnx"
    rewrite(model, small, partial(int8, crops=crops_of(crops, read_artifact(model)[1])))
    rewrite(small, lighter, weights_only)
    assert engine_precision(onnx.load(small)) == "int8"
    assert engine_precision(onnx.load(lighter)) == "int8 weights"
    assert lighter.stat().st_size <= small.stat().st_size < model.stat().st_size
    theta, quantised, nearer = (outputs(path, crops)[1] for path in (model, small, lighter))
    assert 0 < np.abs(nearer - theta).mean() < np.abs(quantised - theta).mean()
    with pytest.raises(ArtifactError, match="found none; it is no INT8 file"):
        weights_only(onnx.load(model))
