"""A reader of pickles that knows of nothing but arrays: PaddleOCR keeps its weights in pickles.

A pickle is a program. This one may call nothing but the few names below, and they are not NumPy's: its own
unpickling trusts the flags of a dtype, by which crafted bytes become pointers. Plain numbers are read from
plain bytes.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArtifactError

_PLAIN = re.compile(r"[fiu][1248]|b1")


class _Kind:
    """Stands for numpy.dtype: a kind of plain numbers."""

    def __init__(self, code: object = "", *_: object) -> None:
        if not isinstance(code, str) or not _PLAIN.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of {code!r}, which are no plain numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Stands for numpy.ndarray: a shape, a kind and the bytes of the numbers."""

    values: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, raw = state
        self.fill(raw, kind, shape, "F" if fortran else "C")

    def fill(self, raw: object, kind: object, shape: object, order: object) -> None:
        """Take the numbers out of their bytes."""
        if not isinstance(raw, (bytes, bytearray)) or not isinstance(kind, _Kind):
            raise pickle.UnpicklingError("an array that is not made of plain numbers")
        if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
            raise pickle.UnpicklingError(f"an array of the shape {shape!r}")
        if math.prod(shape) * kind.dtype.itemsize != len(raw):
            raise pickle.UnpicklingError(f"an array {shape} of {len(raw)} bytes")
        numbers = np.frombuffer(bytes(raw), kind.dtype)
        self.values = numbers.reshape(shape, order="F" if order == "F" else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(raw: object, kind: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.fill(raw, kind, shape, order)
    return array


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """How older protocols write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes(*arguments: object) -> bytes:
    """How they write that there are none."""
    if arguments:
        raise pickle.UnpicklingError("bytes made of something else")
    return b""


def _ignore(*_: object) -> None:
    """Single numbers are no weights."""


_KNOWN: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    **{(module, "bytes"): _no_bytes for module in ("builtins", "__builtin__")},
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _ignore for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """One of the known names; nothing is imported."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is neither an array nor a name")
        known = _KNOWN[module, name]
        # Instructions can set attributes of what they are given: of a function they are given a new one.
        return known if isinstance(known, type) else lambda *arguments: known(*arguments)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays in a pickled dictionary, by name, as ``paddle.save`` writes a ``state_dict``.

    Raises:
        ArtifactError: it cannot be read, is no dictionary, or holds more than arrays.
    """
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises whatever its half-read instructions come to
        raise ArtifactError(
            f"{path}: cannot be read as weights of PaddleOCR: {str(error) or type(error).__name__}. Expected "
            "the .pdparams of a training, a dictionary of arrays and nothing else; numpy.savez(file, "
            "**weights) makes an .npz of them"
        ) from error
    if not isinstance(content, dict):
        raise ArtifactError(f"{path}: expected a dictionary of arrays, got {type(content).__name__}")
    found = {}
    for name, value in dict.items(content):  # the file may have put something else in its place
        array = value[1] if isinstance(value, tuple) and len(value) == 2 else value  # a tensor with its name
        if isinstance(name, str) and isinstance(array, _Array) and array.values is not None:
            found[name] = array.values
    return found
