"""The localisation part, cut out by walking the bytes, is what the tools of ONNX cut out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.utils
import onnxruntime
import pytest

from stn_deploy.artifact import localisation_model, sampling_model, wire
from stn_deploy.errors import ArtifactError
from stn_deploy.runtime import pack_canvas
from tests.pictures import smooth


def run(model: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(["theta", "score"], feeds)]


def random_feeds(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(count)
    return {
        "thumbnails": rng.uniform(0, 255, (count, 3, 16, 40)).astype(np.float32),
        "sizes": rng.uniform(2, 300, (count, 2)).astype(np.float32),
    }


def test_it_gives_the_same_numbers_as_the_extractor_of_onnx(model: Path, tmp_path: Path) -> None:
    extracted = tmp_path / "part.onnx"
    onnx.utils.extract_model(str(model), str(extracted), ["thumbnails", "sizes"], ["theta", "score"])
    cut = localisation_model(model.read_bytes())
    for count in (1, 5):
        feeds = random_feeds(count)
        expected = run(extracted.read_bytes(), feeds)
        for one, other in zip(run(cut, feeds), expected, strict=True):
            assert np.array_equal(one, other)


def test_it_holds_what_is_needed_and_no_more(model: Path, tmp_path: Path) -> None:
    extracted = tmp_path / "part.onnx"
    onnx.utils.extract_model(str(model), str(extracted), ["thumbnails", "sizes"], ["theta", "score"])
    expected, cut = onnx.load(extracted), onnx.load_from_string(localisation_model(model.read_bytes()))
    onnx.checker.check_model(cut, full_check=True)
    assert [node.SerializeToString() for node in cut.graph.node] == [
        node.SerializeToString() for node in expected.graph.node
    ]
    assert {item.name for item in cut.graph.initializer} == {item.name for item in expected.graph.initializer}
    assert [value.name for value in cut.graph.input] == ["thumbnails", "sizes"]
    assert [value.name for value in cut.graph.output] == ["theta", "score"]
    assert not cut.functions
    assert not cut.metadata_props


def test_the_sampling_part_takes_any_theta_and_gives_what_the_whole_graph_gives_for_its_own(
    model: Path,
) -> None:
    data = model.read_bytes()
    cut = onnx.load_from_string(sampling_model(data))
    onnx.checker.check_model(cut, full_check=True)
    assert [value.name for value in cut.graph.input] == ["images", "extents", "theta"]
    assert [value.name for value in cut.graph.output] == ["rectified"]
    images, extents = pack_canvas([smooth(40, 90), smooth(31, 77, seed=1)], canvas=(45, 99))
    whole = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    rectified, theta = whole.run(["rectified", "theta"], {"images": images, "extents": extents})
    part = onnxruntime.InferenceSession(sampling_model(data), providers=["CPUExecutionProvider"])
    (again,) = part.run(None, {"images": images, "extents": extents, "theta": theta})
    assert np.array_equal(again, rectified)


def test_all_of_a_model_can_be_kept(model: Path) -> None:
    data = model.read_bytes()
    whole = onnx.load_from_string(wire.cut(data, ["images", "extents"], ["theta", "score"]))
    original = onnx.load_from_string(data)
    assert len(whole.graph.node) <= len(original.graph.node) - 1
    assert {node.op_type for node in whole.graph.node} >= {"Cast", "GridSample", "Conv"}


def test_a_tensor_that_is_not_there_is_named(model: Path) -> None:
    with pytest.raises(ArtifactError, match="expected the tensors nothing, nowhere in the model"):
        wire.cut(model.read_bytes(), ["nothing", "sizes"], ["theta", "nowhere"])


def test_a_cut_that_needs_more_inputs_names_them(model: Path) -> None:
    with pytest.raises(ArtifactError, match="the outputs also need extents, images"):
        wire.cut(model.read_bytes(), ["sizes"], ["theta", "score"])
