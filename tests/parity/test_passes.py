"""Changed copies of an exported file: the same numbers from other nodes, or what a plugin needs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from stn_deploy.artifact import localisation_model, read_artifact
from stn_deploy.errors import ArgumentError, ArtifactError, OutputError
from stn_deploy.export import verify
from stn_deploy.export.node import DOMAIN, OP_TYPE
from stn_deploy.export.passes import Pass, freeze, inline_function, rewrite, strip_function
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier, pack_canvas
from tests.pictures import smooth
from tests.tolerances import THETA

SIZES = [(40, 120), (33, 95), (61, 70)]


def outputs(path: Path) -> dict[str, np.ndarray]:
    """What the full graph gives for three images on one canvas."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images, extents = pack_canvas(
        [smooth(*size, seed=seed) for seed, size in enumerate(SIZES)], canvas=(64, 128)
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images, "extents": extents}), strict=True))


def changed(tmp_path: Path, *passes: Pass) -> Path:
    path = tmp_path / "changed.onnx"
    rewrite(DEFAULT_MODEL, path, *passes)
    return path


def node_names(model: onnx.ModelProto) -> list[str]:
    return [f"{node.domain}::{node.op_type}" for node in model.graph.node]


@pytest.mark.parametrize(
    "change",
    [inline_function, partial(freeze, batch=3), partial(freeze, canvas=(64, 128))],
    ids=["inlined", "batch", "canvas"],
)
def test_a_copy_gives_the_very_numbers_of_the_file(tmp_path: Path, change: Pass) -> None:
    before, after = outputs(DEFAULT_MODEL), outputs(changed(tmp_path, change))
    assert list(before) == list(after) == ["rectified", "theta", "score"]
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_rectifier_runs_a_file_whose_batch_is_frozen(tmp_path: Path, count: int) -> None:
    images = [smooth(*SIZES[index % 3], seed=index) for index in range(count)]
    frozen = Rectifier(changed(tmp_path, partial(freeze, batch=3)))(images)
    for one, other in zip(frozen, Rectifier()(images), strict=True):
        assert np.abs(one.theta - other.theta).max() < THETA


@pytest.mark.parametrize("change", [inline_function, strip_function, partial(freeze, batch=3)])
def test_a_copy_is_an_artifact_with_the_same_localisation_and_its_own_digest(
    tmp_path: Path, change: Pass
) -> None:
    data, spec = read_artifact(DEFAULT_MODEL)
    copied, own = read_artifact(changed(tmp_path, change))
    assert own.digest != spec.digest
    assert {**vars(own), "digest": ""} == {**vars(spec), "digest": ""}
    thumbnails = np.stack([smooth(32, 64, seed=seed).transpose(2, 0, 1) for seed in range(3)])
    inputs = {"thumbnails": thumbnails.astype(np.float32), "sizes": np.array(SIZES, np.float32)}
    theta, again = (
        onnxruntime.InferenceSession(localisation_model(each)).run(["theta"], inputs)[0]
        for each in (data, copied)
    )
    np.testing.assert_array_equal(theta, again)


def test_what_is_inlined_is_standard_onnx_alone(tmp_path: Path) -> None:
    path = changed(tmp_path, inline_function)
    model = onnx.load(path)
    assert not model.functions
    assert {opset.domain for opset in model.opset_import} == {""}
    assert {node.domain for node in model.graph.node} == {""}
    assert all(comparison.passed for comparison in verify(path))


def test_without_the_function_the_node_stays_and_only_a_plugin_can_run_it(tmp_path: Path) -> None:
    path = changed(tmp_path, strip_function)
    before, after = onnx.load(DEFAULT_MODEL), onnx.load(path)
    assert not after.functions
    assert node_names(after) == node_names(before)
    assert f"{DOMAIN}::{OP_TYPE}" in node_names(after)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.Fail, match=OP_TYPE):
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_frozen_whole_no_shape_is_left_open(tmp_path: Path) -> None:
    path = changed(tmp_path, inline_function, partial(freeze, batch=3, canvas=(64, 128)))
    model = onnx.load(path)
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for value in values:
        dims = value.type.tensor_type.shape.dim
        assert all(dim.HasField("dim_value") for dim in dims), value.name
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input
    }
    assert shapes == {"images": [3, 64, 128, 3], "extents": [3, 2]}
    np.testing.assert_array_equal(outputs(path)["rectified"], outputs(DEFAULT_MODEL)["rectified"])


def test_the_same_passes_give_the_same_bytes(tmp_path: Path) -> None:
    first = changed(tmp_path, inline_function, partial(freeze, batch=2)).read_bytes()
    assert changed(tmp_path, inline_function, partial(freeze, batch=2)).read_bytes() == first


def test_the_source_is_not_touched() -> None:
    model = onnx.load(DEFAULT_MODEL)
    before = model.SerializeToString(deterministic=True)
    for change in (inline_function, strip_function, partial(freeze, batch=3, canvas=(64, 128))):
        change(model)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("first", [inline_function, strip_function])
@pytest.mark.parametrize("second", [inline_function, strip_function])
def test_a_second_time_there_is_nothing_to_take(tmp_path: Path, first: Pass, second: Pass) -> None:
    with pytest.raises(ArtifactError, match="export .* again from the checkpoint"):
        changed(tmp_path, first, second)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected a batch, a canvas or both, got neither"),
        ({"batch": 0}, "batch: expected 1 to 32768, got 0"),
        ({"batch": 2.0}, "batch: expected 1 to 32768, got 2.0"),
        ({"canvas": (64,)}, r"canvas: expected \(height, width\) in pixels, got \(64,\)"),
        ({"canvas": (64, 40_000)}, "canvas: expected 1 to 32768, got 40000"),
    ],
)
def test_a_size_out_of_range_is_refused(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        changed(tmp_path, partial(freeze, **settings))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_what_is_frozen_cannot_be_frozen_to_another_size(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match="expected a dynamic dimension n, found H, W; it was frozen already"
    ):
        changed(tmp_path, partial(freeze, batch=2), partial(freeze, batch=3))


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    target = tmp_path / "file" / "model.onnx"
    with pytest.raises(OutputError, match="cannot be written"):
        rewrite(DEFAULT_MODEL, target, inline_function)
