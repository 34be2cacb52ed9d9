"""The localisation network in INT8: what is quantised and how, and that the file stays what it was else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from stn_deploy.artifact import localisation_model, read_artifact
from stn_deploy.errors import ArtifactError
from stn_deploy.export.crops import Crops, crops_of
from stn_deploy.export.node import OP_TYPE
from stn_deploy.export.passes import float16, freeze, inline_function, int8, strip_function
from stn_deploy.export.verification import verification_images
from stn_deploy.export.weights import stored_weights
from stn_deploy.runtime import DEFAULT_MODEL
from tests.graphs import element_types, nodes
from tests.pictures import Image

QUANTISED = ("features.3", "features.6", "features.9", "reduce")
"""All layers but the first convolution and the last two dense ones."""


@pytest.fixture(scope="module")
def seen(model: Path, crops: list[Image]) -> Crops:
    """Crops as the random rectifier sees them."""
    return crops_of(crops, read_artifact(model)[1])


@pytest.fixture(scope="module")
def small(model: Path, seen: Crops) -> onnx.ModelProto:
    """The random rectifier in INT8."""
    return int8(onnx.load(model), seen)


def run(model: bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def test_it_is_valid_onnx_of_opset_18_with_its_function(small: onnx.ModelProto, model: Path) -> None:
    onnx.checker.check_model(small, full_check=True)
    before = onnx.load(model)
    assert small.functions == before.functions
    assert small.opset_import == before.opset_import
    for name in ("ir_version", "producer_name", "producer_version", "doc_string", "metadata_props"):
        assert getattr(small, name) == getattr(before, name)
    assert small.graph.input == before.graph.input
    assert small.graph.output == before.graph.output
    assert small.graph.value_info == before.graph.value_info


def test_the_large_layers_are_quantised_and_no_other(small: onnx.ModelProto) -> None:
    makers = {name: node.op_type for node in small.graph.node for name in node.output}
    readers = {name: node.op_type for node in small.graph.node for name in node.input}
    for node in nodes(small, "Conv", "Gemm"):
        large = any(part in node.input[1] for part in QUANTISED)
        around = [makers.get(name) for name in node.input[:2]] + [readers[node.output[0]]]
        assert ("DequantizeLinear" in around or "QuantizeLinear" in around) == large, node.name
        if large:
            assert around == ["DequantizeLinear", "DequantizeLinear", "QuantizeLinear"]


def test_every_quantiser_is_symmetric_int8_with_zero_point_0(small: onnx.ModelProto) -> None:
    stored = constants(small)
    quantisers = nodes(small, "QuantizeLinear", "DequantizeLinear")
    assert len(quantisers) > 2 * len(QUANTISED)
    for node in quantisers:
        scale, zero = stored[node.input[1]], stored[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert (scale > 0).all()
        assert scale.dtype == np.float32


def test_weights_are_int8_with_a_scale_for_each_output_channel(small: onnx.ModelProto) -> None:
    stored, types = constants(small), element_types(small)
    held = [node for node in nodes(small, "DequantizeLinear") if node.input[0] in stored]
    assert len(held) == len(QUANTISED)
    for node in held:
        weight, scale = stored[node.input[0]], stored[node.input[1]]
        assert weight.dtype == np.int8
        assert -128 not in weight
        assert np.abs(weight).reshape(len(weight), -1).max(axis=1).min() == 127  # no channel wastes its range
        assert scale.shape == weight.shape[:1]
        assert helper.get_attribute_value(node.attribute[0]) == 0
    assert TensorProto.INT32 not in {
        types[name] for node in nodes(small, "Conv", "Gemm") for name in node.input
    }


def test_weights_are_the_nearest_steps_to_what_they_were(small: onnx.ModelProto, model: Path) -> None:
    before, after = stored_weights(onnx.load(model)), stored_weights(small)
    stored = constants(small)
    for name, values in before.items():
        steps = stored.get(f"{name}_scale")
        if steps is None:
            np.testing.assert_array_equal(after[name], values)
        else:
            half = steps.reshape(-1, *[1] * (values.ndim - 1)) / 2
            assert (np.abs(after[name] - values) <= half * (1 + 1e-5)).all()


def test_what_goes_into_a_relu_has_the_scale_of_what_comes_out(small: onnx.ModelProto) -> None:
    stored = constants(small)
    makers = {name: node for node in small.graph.node for name in node.output}
    found = 0
    for node in nodes(small, "QuantizeLinear"):
        relu = makers.get(node.input[0])
        if relu is None or relu.op_type != "Relu":
            continue
        before = makers[relu.input[0]]
        if before.op_type == "DequantizeLinear":
            found += 1
            assert stored[before.input[1]] == stored[node.input[1]]
    assert found == 2


def test_geometry_and_grid_stay_in_float32(small: onnx.ModelProto, model: Path) -> None:
    before, types = element_types(onnx.load(model)), element_types(small)
    for name in ("images", "extents", "thumbnails", "sizes", "theta", "score", "rectified"):
        assert types[name] == before[name]
    for node in nodes(small, OP_TYPE, "GridSample", "MatMul", "Log"):
        floats = {types[name] for name in (*node.input, *node.output)}
        assert floats == {TensorProto.FLOAT}, node.name
    held = [each.name for model_ in (small, onnx.load(model)) for each in nodes(model_, OP_TYPE)]
    assert held[0] == held[1]


def test_the_localisation_part_can_be_cut_out(small: onnx.ModelProto, seen: Crops) -> None:
    part = localisation_model(small.SerializeToString())
    onnx.checker.check_model(onnx.load_from_string(part), full_check=True)
    feeds = {"thumbnails": seen.thumbnails, "sizes": seen.sizes}
    assert run(part, feeds)["theta"].shape == (len(seen.sizes), 14, 2)


def test_a_dynamic_batch_gives_what_each_image_gives_alone(small: onnx.ModelProto, seen: Crops) -> None:
    part = localisation_model(small.SerializeToString())
    together = run(part, {"thumbnails": seen.thumbnails, "sizes": seen.sizes})["theta"]
    for index in (0, 5):
        one = slice(index, index + 1)
        alone = run(part, {"thumbnails": seen.thumbnails[one], "sizes": seen.sizes[one]})["theta"]
        np.testing.assert_allclose(alone, together[one], atol=1e-5)


def test_the_same_crops_give_the_same_bytes_and_others_do_not(
    model: Path, seen: Crops, small: onnx.ModelProto
) -> None:
    again = int8(onnx.load(model), seen)
    assert again.SerializeToString(deterministic=True) == small.SerializeToString(deterministic=True)
    other = int8(onnx.load(model), Crops(seen.thumbnails[:3], seen.sizes[:3]))
    assert other.SerializeToString(deterministic=True) != small.SerializeToString(deterministic=True)


def test_the_order_of_sets_does_not_reach_the_bytes(tmp_path: Path) -> None:
    """Names are hashed with another seed in each process."""
    program = (
        "import hashlib, onnx\n"
        "from stn_deploy.artifact import read_artifact\n"
        "from stn_deploy.export.crops import crops_of\n"
        "from stn_deploy.export.passes import int8\n"
        "from stn_deploy.export.verification import verification_images\n"
        "from stn_deploy.runtime import DEFAULT_MODEL\n"
        "data, spec = read_artifact(DEFAULT_MODEL)\n"
        "changed = int8(onnx.load_from_string(data), crops_of(verification_images(6), spec))\n"
        "print(hashlib.sha256(changed.SerializeToString(deterministic=True)).hexdigest())\n"
    )
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
        assert done.stderr == ""
    assert len(digests) == 1


def test_the_shipped_network_shrinks_to_little_more_than_a_quarter() -> None:
    data, spec = read_artifact(DEFAULT_MODEL)
    changed = int8(onnx.load_from_string(data), crops_of(verification_images(6), spec))
    parts = [localisation_model(each) for each in (data, changed.SerializeToString(deterministic=True))]
    assert len(parts[1]) / len(parts[0]) < 0.3


def test_the_model_is_not_touched(model: Path, seen: Crops) -> None:
    given = onnx.load(model)
    before = given.SerializeToString(deterministic=True)
    int8(given, seen)
    assert given.SerializeToString(deterministic=True) == before


def test_it_fits_a_file_whose_function_was_inlined(model: Path, seen: Crops, small: onnx.ModelProto) -> None:
    inlined = inline_function(int8(onnx.load(model), seen))
    again = int8(inline_function(onnx.load(model)), seen)
    parts = [localisation_model(each.SerializeToString()) for each in (inlined, again, small)]
    feeds = {"thumbnails": seen.thumbnails, "sizes": seen.sizes}
    thetas = [run(part, feeds)["theta"] for part in parts]
    np.testing.assert_array_equal(thetas[0], thetas[1])
    np.testing.assert_array_equal(thetas[0], thetas[2])


@pytest.mark.parametrize("found", ["int8", "float16"])
def test_a_network_that_was_rounded_before_is_refused(
    model: Path, seen: Crops, small: onnx.ModelProto, found: str
) -> None:
    given = small if found == "int8" else float16(onnx.load(model))
    with pytest.raises(ArtifactError, match=f"expected a network in float32, got one in {found}"):
        int8(given, seen)


def test_a_frozen_batch_is_refused(model: Path, seen: Crops) -> None:
    with pytest.raises(ArtifactError, match="expected a batch of any size, found a frozen one"):
        int8(freeze(onnx.load(model), batch=3), seen)


def test_a_stripped_file_is_refused(model: Path, seen: Crops) -> None:
    with pytest.raises(ArtifactError, match="stripped already: export the file again"):
        int8(strip_function(onnx.load(model)), seen)


def test_nothing_is_printed_and_no_logger_is_set_up(
    model: Path, seen: Crops, capfd: pytest.CaptureFixture[str]
) -> None:
    import logging

    handlers = list(logging.getLogger().handlers)
    int8(onnx.load(model), seen)
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")
