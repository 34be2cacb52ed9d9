"""The walk over protobuf fields, against protobuf itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import StringStringEntryProto, TensorProto

from stn_deploy.artifact import wire
from stn_deploy.errors import ArtifactError


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 20_000])
def test_fields_of_any_length_are_found(length: int) -> None:
    entry = StringStringEntryProto(key="k", value="v" * length).SerializeToString()
    found = list(wire.fields(entry))
    assert [(field.number, field.payload) for field in found] == [(1, b"k"), (2, b"v" * length)]
    assert b"".join(field.whole for field in found) == entry


def test_every_kind_of_field_is_walked_over() -> None:
    tensor = TensorProto(dims=[2, 70_000], data_type=1, name="weights", raw_data=b"\x01\x02")
    tensor.float_data.extend([1.0, 2.0])
    tensor.double_data.extend([3.0])
    data = tensor.SerializeToString()
    unpacked = b"\x2d\x00\x00\x80\x3f" + b"\x51" + bytes(8)  # a fixed32 and a fixed64 field
    numbers = [field.number for field in wire.fields(data + unpacked)]
    assert set(numbers) == {1, 2, 4, 5, 8, 9, 10}
    assert b"".join(field.whole for field in wire.fields(data + unpacked)) == data + unpacked


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x08\xff",
        b"\x08" + b"\xff" * 11,
        b"\x0d\x00",
        b"\x0b",
        b"\x00\x01",
        b"\x07",
    ],
    ids=repr,
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match="not a whole protobuf message"):
        list(wire.fields(data))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_walked_or_refused(data: bytes) -> None:
    try:
        assert b"".join(field.whole for field in wire.fields(data)) == data
        wire.metadata(data)
        wire.digest(data)
    except ArtifactError:
        pass
