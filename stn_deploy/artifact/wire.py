"""Reading and cutting an .onnx file by its protobuf wire format, in the standard library alone.

The runtime must start in a fraction of a second and without the onnx package. It needs three things from the
file: the spec, the proof that the bytes are whole, and the localisation part as a model of its own. All three
are walks over length-delimited fields. Field numbers are those of onnx.proto3, which may not change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stn_deploy.errors import ArtifactError

_MODEL_GRAPH, _MODEL_METADATA, _MODEL_FUNCTIONS = 7, 14, 25
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER = 1, 2, 5
_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _TENSOR_NAME, _TENSOR_EXTERNAL, _VALUE_NAME = 1, 2, 8, 13, 1
_INSIDE: dict[str, dict[int, str]] = {
    "model": {_MODEL_GRAPH: "graph", 20: "training", _MODEL_FUNCTIONS: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {_GRAPH_NODE: "node", _GRAPH_INITIALIZER: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        **dict.fromkeys((5, 10), "tensor"),
        **dict.fromkeys((6, 11), "graph"),
        **dict.fromkeys((22, 23), "sparse tensor"),
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""For each message of onnx.proto3 the fields on the way to tensors, and the messages that they hold."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message: its number, its payload (empty for numbers), and all its bytes with the tag."""

    number: int
    payload: bytes
    whole: bytes


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Value and end of a variable-length integer."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("an integer of more than ten bytes")


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a protobuf message, in file order.

    Raises:
        ArtifactError: the bytes are not a protobuf message.
    """
    position = 0
    try:
        while position < len(message):
            start = position
            tag, position = _varint(message, position)
            payload = b""
            kind = tag & 7
            if kind == _VARINT:
                _, position = _varint(message, position)
            elif kind in (_FIXED64, _FIXED32):
                position += 8 if kind == _FIXED64 else 4
            elif kind == _BYTES:
                length, position = _varint(message, position)
                payload = message[position : position + length]
                position += length
            else:
                raise IndexError(f"wire type {kind}")
            if position > len(message) or tag >> 3 == 0:
                raise IndexError("the last field is cut")
            yield Field(tag >> 3, payload, message[start:position])
    except IndexError as error:
        raise ArtifactError(f"not a whole protobuf message ({error})") from error


def _first(message: bytes, number: int) -> bytes:
    return next((field.payload for field in fields(message) if field.number == number), b"")


def _all(message: bytes, number: int) -> list[bytes]:
    return [field.payload for field in fields(message) if field.number == number]


def metadata(model: bytes) -> dict[str, str]:
    """The metadata of an .onnx file.

    Raises:
        ArtifactError: not a protobuf message.
    """
    entries = (entry for entry in _all(model, _MODEL_METADATA))
    return {_first(e, 1).decode("utf-8", "replace"): _first(e, 2).decode("utf-8", "replace") for e in entries}


def digest(model: bytes) -> str:
    """SHA-256, hexadecimal, over all of an .onnx file but its metadata."""
    sha = hashlib.sha256()
    for field in fields(model):
        if field.number != _MODEL_METADATA:
            sha.update(field.whole)
    return sha.hexdigest()


def with_metadata(model: bytes, key: str, value: str) -> bytes:
    """The model with one metadata entry set; an older one of the same key is replaced."""
    kept = [
        field.whole
        for field in fields(model)
        if field.number != _MODEL_METADATA or _first(field.payload, 1) != key.encode()
    ]
    entry = _message((1, key.encode()), (2, value.encode()))
    return b"".join(kept) + _message((_MODEL_METADATA, entry))


def external_data(model: bytes) -> list[str]:
    """Names of the tensors that lie in files beside the model: weights, and constants wherever they stand.

    Raises:
        ArtifactError: not a protobuf message, or one with several graphs, which readers would join.
    """
    if len(_all(model, _MODEL_GRAPH)) > 1:
        raise ArtifactError("several graphs in one model")
    found = []
    left = [("model", model)]
    while left:
        kind, message = left.pop()
        inside = _INSIDE[kind]
        left += [(inside[field.number], field.payload) for field in fields(message) if field.number in inside]
        if kind == "tensor" and any(field.number == _TENSOR_EXTERNAL for field in fields(message)):
            found.append(_first(message, _TENSOR_NAME).decode("utf-8", "replace"))
    return found


def cut(model: bytes, inputs: Iterable[str], outputs: Iterable[str], *, functions: bool = False) -> bytes:
    """The part of a model between named tensors, as a model of its own.

    Args:
        inputs: tensors that become the inputs; the file must describe them (value_info or input).
        outputs: tensors to keep; the file must describe them too.
        functions: whether the part keeps the model's functions.
    Raises:
        ArtifactError: a tensor is not there, or an output needs more than the inputs.
    """
    graph = _first(model, _MODEL_GRAPH)
    starts, needed = list(inputs), set(outputs)
    described = {
        _first(field.payload, _VALUE_NAME).decode(): field.payload
        for field in fields(graph)
        if field.number in (_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO)
    }
    missing = [name for name in (*starts, *sorted(needed)) if name not in described]
    if missing:
        raise ArtifactError(
            f"expected the tensors {', '.join(missing)} in the model, found none of that name"
        )
    parts = [_message((_GRAPH_INPUT, described[name])) for name in starts]
    parts += [_message((_GRAPH_OUTPUT, described[name])) for name in outputs]
    kept_nodes = []
    # Nodes stand in topological order, so one pass from the end finds all that the outputs need.
    for field in reversed([field for field in fields(graph) if field.number == _GRAPH_NODE]):
        made = {name.decode() for name in _all(field.payload, _NODE_OUTPUT)}
        if made & needed and not made & set(starts):
            kept_nodes.append(field.whole)
            needed |= {name.decode() for name in _all(field.payload, _NODE_INPUT)} - {""}
    graph_inputs = {_first(value, _VALUE_NAME).decode() for value in _all(graph, _GRAPH_INPUT)}
    if needed & graph_inputs - set(starts):
        raise ArtifactError(f"the outputs also need {', '.join(sorted(needed & graph_inputs - set(starts)))}")
    for field in fields(graph):
        number = field.number
        used = number == _GRAPH_INITIALIZER and _first(field.payload, _TENSOR_NAME).decode() in needed
        if used or number == _GRAPH_NAME:
            parts.append(field.whole)
    body = b"".join(reversed(kept_nodes)) + b"".join(parts)
    left = {_MODEL_GRAPH, _MODEL_METADATA, *[_MODEL_FUNCTIONS] * (not functions)}
    rest = [field.whole for field in fields(model) if field.number not in left]
    return b"".join(rest) + _message((_MODEL_GRAPH, body))


def _message(*items: tuple[int, bytes]) -> bytes:
    """Length-delimited fields, encoded."""
    encoded = bytearray()
    for number, payload in items:
        for value in (number << 3 | _BYTES, len(payload)):
            remaining = value
            while remaining > 0x7F:
                encoded.append(remaining & 0x7F | 0x80)
                remaining >>= 7
            encoded.append(remaining)
        encoded += payload
    return bytes(encoded)
