"""Opening exported files: every damaged, foreign or newer one is refused with its name and a remedy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from stn_deploy.artifact import METADATA_KEY, check_artifact, read_artifact, wire
from stn_deploy.errors import ArtifactError
from stn_deploy.runtime import Rectifier


@pytest.fixture(scope="module")
def data(model: Path) -> bytes:
    return model.read_bytes()


def metadata_start(data: bytes) -> int:
    """Where the last field of the file, the metadata, begins."""
    return len(data) - len(list(wire.fields(data))[-1].whole)


def test_a_whole_file_is_read(model: Path, data: bytes) -> None:
    read, spec = read_artifact(model)
    assert read == data
    assert spec.control_points == 14
    assert check_artifact(data) == spec


def test_metadata_is_that_of_the_onnx_package(data: bytes) -> None:
    proto = onnx.load_from_string(data)
    assert wire.metadata(data) == {item.key: item.value for item in proto.metadata_props}


def test_a_truncated_file_is_refused_at_every_length(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    rng = np.random.default_rng(0)
    start = metadata_start(data)
    lengths = {0, 1, 2, 5, 20, start - 1, start, start + 1, start + 20, len(data) - 1}
    for length in sorted(lengths | set(rng.integers(0, len(data), 60).tolist())):
        path.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match=r"cut\.onnx: "):
            read_artifact(path)


def test_any_changed_byte_outside_the_metadata_is_found(data: bytes) -> None:
    rng = np.random.default_rng(1)
    places, start = set(rng.integers(0, metadata_start(data), 60).tolist()), 0
    for field in list(wire.fields(data))[:-1]:  # every part of the file, however small
        end = start + len(field.whole)
        places |= {start, start + 1, (start + end) // 2, end - 1}
        start = end
    for place in sorted(places):
        for flip in (0x01, 0x80):
            damaged = bytearray(data)
            damaged[place] ^= flip
            with pytest.raises(ArtifactError, match=r"^x\.onnx: "):
                check_artifact(bytes(damaged), name="x.onnx")


def test_a_damaged_file_says_so_and_what_to_do(data: bytes) -> None:
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 4
    with pytest.raises(ArtifactError, match=r"x\.onnx: damaged; its contents hash to .* export it again"):
        check_artifact(bytes(damaged), name="x.onnx")


def test_a_foreign_model_is_refused(data: bytes, tmp_path: Path) -> None:
    proto = onnx.load_from_string(data)
    del proto.metadata_props[:]
    path = tmp_path / "foreign.onnx"
    onnx.save(proto, path)
    with pytest.raises(
        ArtifactError, match=r"foreign\.onnx: expected a rectifier written by stn-deploy export"
    ):
        read_artifact(path)


def test_a_model_saved_again_by_the_onnx_package_stays_valid(data: bytes) -> None:
    again = onnx.load_from_string(data).SerializeToString()
    assert check_artifact(again) == check_artifact(data)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04" + bytes(40), bytes(100), b"\xff" * 50, b"\x0a"], ids=repr
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"other\.onnx: "):
        read_artifact(path)


@pytest.mark.parametrize("location", ["weights.bin", "../outside.bin", "/etc/hostname"])
def test_weights_beside_the_file_are_refused(data: bytes, location: str, tmp_path: Path) -> None:
    """They are not covered by the digest, and may lie anywhere."""
    model = onnx.load_from_string(data)
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ArtifactError, match=r"model\.onnx: expected all weights inside the file, got 1 in files"
    ):
        read_artifact(path)


def outside(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The tensor, with its numbers in a file."""
    beside = onnx.TensorProto(name="beside", data_type=tensor.data_type, dims=tensor.dims)
    beside.data_location = onnx.TensorProto.EXTERNAL
    beside.external_data.add(key="location", value="weights.bin")
    return beside


def with_constant(model: onnx.ModelProto, nodes: Any) -> bytes:
    value = nodes.add(op_type="Constant", output=["unused"]).attribute.add(name="value")
    value.type = onnx.AttributeProto.TENSOR
    value.t.CopyFrom(outside(model.graph.initializer[0]))
    return model.SerializeToString()


def as_constant(model: onnx.ModelProto) -> bytes:
    return with_constant(model, model.graph.node)


def in_the_function(model: onnx.ModelProto) -> bytes:
    return with_constant(model, model.functions[0].node)


def in_a_branch(model: onnx.ModelProto) -> bytes:
    node = model.graph.node.add(op_type="If", output=["unused"])
    branch = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g
    branch.initializer.append(outside(model.graph.initializer[0]))
    return model.SerializeToString()


def as_sparse_weight(model: onnx.ModelProto) -> bytes:
    model.graph.sparse_initializer.add().values.CopyFrom(outside(model.graph.initializer[0]))
    return model.SerializeToString()


@pytest.mark.parametrize("hide", [as_constant, in_the_function, in_a_branch, as_sparse_weight])
def test_numbers_beside_the_file_are_found_wherever_they_stand(
    data: bytes, hide: Callable[[onnx.ModelProto], bytes]
) -> None:
    with pytest.raises(
        ArtifactError, match=r"all weights inside the file, got 1 in files .* \(beside, \.\.\.\)"
    ):
        check_artifact(hide(onnx.load_from_string(data)))


def test_a_second_graph_which_readers_would_join_is_refused(data: bytes) -> None:
    second = onnx.ModelProto()
    second.graph.name = "second"
    with pytest.raises(ArtifactError, match="several graphs"):
        check_artifact(data + second.SerializeToString())


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nothing\.onnx: cannot be read \(No such file"):
        read_artifact(tmp_path / "nothing.onnx")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_artifact(tmp_path)


def test_a_newer_format_is_refused_by_the_rectifier_too(data: bytes, tmp_path: Path) -> None:
    values = {**json.loads(wire.metadata(data)[METADATA_KEY]), "format_version": 3}
    path = tmp_path / "newer.onnx"
    path.write_bytes(wire.with_metadata(data, METADATA_KEY, json.dumps(values)))
    with pytest.raises(ArtifactError, match=r"newer\.onnx: format version 3 is newer"):
        Rectifier(path)


def test_a_spec_without_digest_is_not_trusted(data: bytes) -> None:
    spec = dataclasses.replace(check_artifact(data), digest="")
    with pytest.raises(ArtifactError, match="no digest"):
        check_artifact(wire.with_metadata(data, METADATA_KEY, spec.to_json()))


def test_setting_metadata_replaces_its_key_and_keeps_the_rest(data: bytes) -> None:
    twice = wire.with_metadata(wire.with_metadata(data, "note", "ä" * 200), "note", "new")
    assert wire.metadata(twice) == {**wire.metadata(data), "note": "new"}
    assert wire.digest(twice) == wire.digest(data)
    assert check_artifact(twice) == check_artifact(data)
    assert {item.key for item in onnx.load_from_string(twice).metadata_props} == {METADATA_KEY, "note"}


@pytest.mark.parametrize("field", ["margin", "threshold", "mean"])
def test_a_changed_spec_is_noticed(data: bytes, field: str) -> None:
    values = json.loads(wire.metadata(data)[METADATA_KEY])
    values[field] = values[field] / 2
    with pytest.raises(ArtifactError, match="damaged"):
        check_artifact(wire.with_metadata(data, METADATA_KEY, json.dumps(values)))
