"""DLPack, written by hand: capsules through which other libraries share an array without a copy.

Source: DLPack 1.0, ``dlpack.h``, and its Python specification.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_char_p, c_int, c_int64, c_void_p, py_object
from typing import Any

import numpy as np

from stn_deploy.errors import ArgumentError
from stn_deploy.plugins.launch.exchange import DLManagedTensorVersioned, DLTensor

CUDA = 2
"""kDLCUDA: memory of a GPU."""
_FLOAT = 2
_OLD, _NEW = b"dltensor", b"dltensor_versioned"

_capsule_new = ctypes.PYFUNCTYPE(py_object, c_void_p, c_char_p, c_void_p)(("PyCapsule_New", ctypes.pythonapi))
# A capsule that is being destroyed must not be held again: it goes by its address.
_is_valid = ctypes.PYFUNCTYPE(c_int, c_void_p, c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_get_pointer = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))


class _Managed(ctypes.Structure):
    """DLManagedTensor, the form of before DLPack 1.0."""

    _fields_ = (("tensor", DLTensor), ("manager", c_void_p), ("deleter", c_void_p))


_shared: dict[int, tuple[object, ...]] = {}
"""What consumers hold: by its address each array's description, and the owner of its memory."""


def _drop(address: int, shared: dict[int, tuple[object, ...]] = _shared) -> None:
    """Called by the consumer, on any thread, when it needs the array no more."""
    shared.pop(address, None)


def _drop_unused(capsule: int, shared: dict[int, tuple[object, ...]] = _shared) -> None:
    """Called when a capsule goes; one that was consumed has another name by then."""
    for name in (_OLD, _NEW):
        if _is_valid(capsule, name):
            shared.pop(_get_pointer(capsule, name), None)


_deleter = ctypes.CFUNCTYPE(None, c_void_p)(_drop)
_destructor = ctypes.PYFUNCTYPE(None, c_void_p)(_drop_unused)


def capsule_of(
    owner: object,
    address: int,
    shape: Sequence[int],
    kind: np.dtype[Any],
    device: tuple[int, int],
    *,
    versioned: bool,
) -> Any:
    """A capsule of a contiguous array of floats.

    Args:
        owner: is kept until the consumer gives the array back, or the capsule goes without one.
        device: DLPack's number of the kind of device, and which of them.
        versioned: the form of DLPack 1.0.
    Raises:
        ArgumentError: not floats.
    """
    if kind.kind != "f":
        raise ArgumentError(f"array: expected floats, got {kind}")
    lengths = (c_int64 * len(shape))(*shape)
    steps = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    strides = (c_int64 * len(shape))(*steps)
    tensor = DLTensor(
        data=address if 0 not in shape else None,
        device_type=device[0],
        device_id=device[1],
        ndim=len(shape),
        code=_FLOAT,
        bits=8 * kind.itemsize,
        lanes=1,
        shape=lengths,
        strides=strides,
        byte_offset=0,
    )
    deleter = ctypes.cast(_deleter, c_void_p)
    made: Any
    if versioned:
        made = DLManagedTensorVersioned(major=1, minor=0, deleter=deleter, flags=0, tensor=tensor)
    else:
        made = _Managed(tensor=tensor, deleter=deleter)
    place = ctypes.addressof(made)
    _shared[place] = (owner, made, lengths, strides)
    return _capsule_new(place, _NEW if versioned else _OLD, ctypes.cast(_destructor, c_void_p))
