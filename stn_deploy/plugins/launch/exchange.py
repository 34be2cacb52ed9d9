"""Arrays in the memory of a GPU, whoever made them: CuPy, DLPack or ``__cuda_array_interface__``."""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
)
from functools import cache
from typing import Any, NamedTuple

from stn_deploy.errors import ArgumentError
from stn_deploy.plugins.launch.launcher import Launcher

_ON_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged
_ELEMENTS = {(2, 32): "f32", (2, 16): "f16", (4, 16): "bf16"}  # kDLFloat, kDLBfloat
_NAMES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_TYPE_STRINGS = {"<f4": "f32", "<f2": "f16"}
_READ_ONLY = 1  # DLPACK_FLAG_BITMASK_READ_ONLY
_LEGACY_STREAM = 1  # how DLPack and __cuda_array_interface__ say 0

_is_valid = ctypes.PYFUNCTYPE(c_int, py_object, c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_get_pointer = ctypes.PYFUNCTYPE(c_void_p, py_object, c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))


class View(NamedTuple):
    """Where an array lies.

    Attributes:
        strides: in elements; None where it is contiguous, row by row.
        element: f32, f16 or bf16; for any other type what its maker calls it.
        device: number of the GPU.
        owner: keeps the memory alive.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    element: str
    device: int
    writable: bool
    owner: object


def view_of(name: str, array: Any, stream: int, launcher: Launcher, *, to_write: bool = False) -> View:
    """The view of an array whose contents are complete for whatever is queued on ``stream`` from now on.

    Args:
        name: of the argument, for messages.
        stream: address of a stream of the array's GPU; 0 is the default stream.
        to_write: whether it will be written to.
    Raises:
        ArgumentError: no array on a GPU.
    """
    if is_of_cupy(array):
        return _view_of_cupy(array)
    kind = type(array)
    if hasattr(kind, "__dlpack__") and hasattr(kind, "__dlpack_device__"):
        return _view_of_dlpack(name, array, stream, to_write)
    described = getattr(array, "__cuda_array_interface__", None)
    if described is None:
        raise ArgumentError(
            f"{name}: expected an array in the memory of a GPU, got {kind.__name__}; "
            "cupy.asarray copies one there"
        )
    return _view_of_interface(name, array, described, stream, launcher)


def is_of_cupy(array: Any) -> bool:
    """Whether it is one of CuPy's arrays, which need no protocol."""
    return type(array).__module__.partition(".")[0] == "cupy"


def number_of_gpu(array: Any) -> int | None:
    """Of the GPU that holds an array; None where the array does not say."""
    if is_of_cupy(array):
        return int(array.data.device_id)
    ask = getattr(array, "__dlpack_device__", None)
    place, index = ask() if ask is not None else (None, 0)
    return int(index) if place in _ON_CUDA else None


def _view_of_cupy(array: Any) -> View:
    """Its work is queued on its current stream, which is ours."""
    memory, dtype = array.data, array.dtype
    contiguous = array.flags.c_contiguous
    strides = None if contiguous else tuple(stride // dtype.itemsize for stride in array.strides)
    return View(memory.ptr, array.shape, strides, _element_of(dtype), memory.device_id, True, array)


@cache  # NumPy takes longer to say a name than the launch takes
def _element_of(dtype: Any) -> str:
    name = str(dtype.name)
    return _NAMES.get(name, name)


class DLTensor(ctypes.Structure):
    """An array as DLPack says it, in the names of DLPack."""

    _fields_ = (
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


class DLManagedTensorVersioned(ctypes.Structure):
    """An array of DLPack 1.0, and how to give it back."""

    _fields_ = (
        ("major", c_uint32),
        ("minor", c_uint32),
        ("manager", c_void_p),
        ("deleter", c_void_p),
        ("flags", c_uint64),
        ("tensor", DLTensor),
    )


def _view_of_dlpack(name: str, array: Any, stream: int, to_write: bool) -> View:
    place, device = array.__dlpack_device__()
    if int(place) not in _ON_CUDA:
        raise ArgumentError(
            f"{name}: expected an array in the memory of a GPU, got {type(array).__name__} elsewhere; "
            "move it there, NumPy's with cupy.asarray"
        )
    asked: dict[str, Any] = {"stream": stream or _LEGACY_STREAM}
    try:
        # Only the versioned form says whether writing is allowed; makers of old do not know it.
        capsule = array.__dlpack__(**asked, max_version=(1, 0)) if to_write else array.__dlpack__(**asked)
    except TypeError:
        capsule = array.__dlpack__(**asked)
    # The capsule is never consumed: it gives the memory back when it goes, with the view.
    versioned, writable = _pointer(capsule, b"dltensor_versioned"), True
    if versioned:
        managed = DLManagedTensorVersioned.from_address(versioned)
        tensor, writable = managed.tensor, not managed.flags & _READ_ONLY
    else:
        tensor = DLTensor.from_address(_pointer(capsule, b"dltensor"))
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    element = _ELEMENTS.get(
        (tensor.code, tensor.bits * tensor.lanes), f"type {tensor.code}, {tensor.bits} bits"
    )
    address = (tensor.data or 0) + tensor.byte_offset
    strides = _unless_contiguous(shape, strides)
    return View(address, shape, strides, element, int(device), writable, (array, capsule))


def _pointer(capsule: object, name: bytes) -> int:
    """What a capsule of that name holds; 0 where it has another name."""
    return (_get_pointer(capsule, name) or 0) if _is_valid(capsule, name) else 0


def _view_of_interface(
    name: str, array: Any, described: dict[str, Any], stream: int, launcher: Launcher
) -> View:
    (address, read_only), text = described["data"], described["typestr"]
    shape, strides = tuple(described["shape"]), described.get("strides")
    element, itemsize = _TYPE_STRINGS.get(text, f"type {text}"), int(text[2:])
    if strides is not None:
        strides = _unless_contiguous(shape, tuple(stride // itemsize for stride in strides))
    if described.get("mask") is not None:
        raise ArgumentError(f"{name}: expected an array without a mask, got one; fill it first")
    if 0 in shape:
        return View(0, shape, strides, element, 0, not read_only, array)
    device, queued = launcher.device_of(address), described.get("stream")
    if queued is not None and queued != (stream or _LEGACY_STREAM):
        launcher.order(queued, stream, device)
    return View(address, shape, strides, element, device, not read_only, array)


def _unless_contiguous(shape: tuple[int, ...], strides: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The strides, None where elements follow each other row by row."""
    if strides is None or 0 in shape:
        return None
    step = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != step:
            return strides
        step *= length
    return None


def is_channels_last(view: View) -> bool:
    """Whether the channels of each pixel follow each other, and pixels row by row."""
    if view.strides is None:
        return False
    order = (0, *range(2, len(view.shape)), 1)
    shape, strides = (tuple(values[axis] for axis in order) for values in (view.shape, view.strides))
    return _unless_contiguous(shape, strides) is None
