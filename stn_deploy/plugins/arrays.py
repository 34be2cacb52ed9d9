"""The fused kernels on arrays that lie in the memory of a GPU: CuPy's, and all that speak DLPack."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from stn_deploy.errors import ArgumentError, MissingDependency, ShapeError
from stn_deploy.plugins.launch.exchange import (
    View,
    is_channels_last,
    is_of_cupy,
    number_of_gpu,
    view_of,
)
from stn_deploy.plugins.launch.launcher import Launcher, gpu_launcher
from stn_deploy.plugins.launch.plan import (
    ELEMENT_BYTES,
    VECTOR_BYTES,
    Lengths,
    Sampling,
    plan_launch,
    takes_channels_last,
)
from stn_deploy.plugins.launch.shapes import (
    check_settings,
    checked_output_size,
    checked_source,
    fused_lengths,
    given_lengths,
)

__all__ = ["grid_sample", "theta_grid_sample"]


def theta_grid_sample(
    source: Any,
    basis: Any,
    theta: Any,
    extents: Any = None,
    *,
    output_size: Sequence[int],
    mode: str = "bilinear",
    padding: str = "border",
    align_corners: bool = False,
    homogeneous: bool = False,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """V of U at the positions ``basis @ theta``, in one kernel: no grid is written to memory.

    Convention: normalised (x, y) or (x, y, z) over pixel edges; with align_corners over the centres of the
    outermost pixels. NaN or infinite coordinates sample as 0. Positions and weights are float32, always.
    The arrays may be CuPy's or any that speak DLPack or ``__cuda_array_interface__``, on one GPU.
    Args:
        source: U, (n, c, H, W) or (n, c, D, H, W), float32, float16 or bfloat16; contiguous, or channels-last
            where the channels fill whole vectors of 16 bytes.
        basis: (P, K), float32, P = number of pixels of V.
        theta: (n, K, 2) or (n, K, 3), float32, normalised over the valid part; one more column where
            homogeneous, by which the others are divided.
        extents: (n, 2), float32, valid fraction (height, width) of each image on its canvas, or (n, 3) with
            the depth first; in (0, 1]. None: images fill their canvas. Pixels beyond are never read.
        output_size: (h, w) or (d, h, w).
        mode: nearest, bilinear or bicubic; nearest or trilinear for volumes.
        padding: border, zeros or reflection.
        out: V to be written to, in type and layout of ``source``; without it a new array of CuPy.
        stream: address of a stream, or a stream of CuPy, torch or cuda.core. None: CuPy's current one where
            CuPy is in use, else the default stream. The kernel is queued, not waited for; keep the arrays.
    Returns:
        V, (n, c, h, w) or (n, c, d, h, w): ``out``, or an array of CuPy in the layout of ``source``.
    Raises:
        ShapeError: shapes that do not go together.
        ArgumentError: an unknown setting; another type, layout or device.
        EngineError: no GPU, one older than compute capability 7.5, or a launch that fails.
        MissingDependency: a new array is needed, and CuPy is not installed.
    """
    call = _Call(source, stream)
    check_settings(call.axes, mode, padding, align_corners=align_corners, homogeneous=homogeneous)
    sizes = checked_output_size(output_size, call.axes)
    rows, points = call.coordinates("basis", basis), call.coordinates("theta", theta)
    valid = None if extents is None else call.coordinates("extents", extents)
    valid_shape, valid_address = (None, 0) if valid is None else (valid.shape, valid.address)
    lengths = fused_lengths(call.source.shape, rows.shape, points.shape, valid_shape, sizes, homogeneous)
    settings = (mode, padding, align_corners, homogeneous)
    addresses = (rows.address, points.address, valid_address)
    return call.run("theta_grid_sample", settings, lengths, addresses, sizes, out)


def grid_sample(
    source: Any,
    grid: Any,
    *,
    mode: str = "bilinear",
    padding: str = "border",
    align_corners: bool = False,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """V of U at the positions of a grid.

    Args:
        grid: (n, h, w, 2) or (n, d, h, w, 3), float32, normalised.
        source, mode, padding, align_corners, out, stream: see `theta_grid_sample`, also for what is returned
            and raised.
    """
    call = _Call(source, stream)
    check_settings(call.axes, mode, padding, align_corners=align_corners)
    positions = call.coordinates("grid", grid)
    lengths = given_lengths(call.source.shape, positions.shape)
    settings = (mode, padding, align_corners, False)
    return call.run("grid_sample", settings, lengths, (positions.address,), positions.shape[1:-1], out)


class _Call:
    """One call: where it runs, and what it samples."""

    def __init__(self, source: Any, stream: Any) -> None:
        self.launcher: Launcher = gpu_launcher()
        self.given = source
        self.stream = stream
        self.read: list[tuple[str, View]] = []
        self.queue = _address_of(stream, number_of_gpu(source))
        self.source = self._view("source", source)
        self.axes = checked_source(self.source.shape)
        element, strides = self.source.element, self.source.strides
        if element not in ELEMENT_BYTES:
            raise ArgumentError(f"source: expected float32, float16 or bfloat16, got {element}")
        self.channels_last = strides is not None
        if self.channels_last:
            _check_channels_last("source", self.source)

    def coordinates(self, name: str, array: Any) -> View:
        """The view of an array of float32, contiguous, beside the source."""
        view = self._view(name, array)
        if view.element != "f32":
            raise ArgumentError(f"{name}: expected float32, got {view.element}; cast it with .astype")
        if view.strides is not None:
            raise ArgumentError(
                f"{name}: expected a contiguous array, got strides {view.strides}; "
                "cupy.ascontiguousarray makes one"
            )
        self._check_device(name, view)
        self.read.append((name, view))
        return view

    def run(
        self,
        operation: str,
        settings: tuple[str, str, bool, bool],
        lengths: Lengths,
        addresses: tuple[int, ...],
        sizes: tuple[int, ...],
        out: Any,
    ) -> Any:
        """Launch, and return V."""
        shape = (*self.source.shape[:2], *sizes)
        result = self._new(shape) if out is None else out
        view = self._view("out", result, to_write=True)
        self._check_out(view, shape)
        if 0 in shape:
            return result
        sampling = Sampling(self.axes, *settings, self.source.element, self.channels_last)
        call = plan_launch(operation, sampling, lengths, (self.source.address, *addresses), (view.address,))
        self.launcher.launch(call, self.source.device, self.queue)
        return result

    def _view(self, name: str, array: Any, *, to_write: bool = False) -> View:
        return view_of(name, array, self.queue, self.launcher, to_write=to_write)

    def _check_device(self, name: str, view: View) -> None:
        if view.device != self.source.device and 0 not in view.shape:
            raise ArgumentError(
                f"{name}: expected an array on GPU {self.source.device} like source, got one on {view.device}"
            )

    def _check_out(self, view: View, shape: tuple[int, ...]) -> None:
        if view.shape != shape:
            raise ShapeError(f"out: expected {shape}, got {view.shape}")
        if view.element != self.source.element:
            raise ArgumentError(f"out: expected {self.source.element} like source, got {view.element}")
        if not view.writable:
            raise ArgumentError("out: expected an array that may be written to, got a read-only one")
        self._check_device("out", view)
        if 0 in shape:
            return
        if self.channels_last:
            _check_channels_last("out", view)
        elif view.strides is not None:
            raise ArgumentError(f"out: expected a contiguous array like source, got strides {view.strides}")
        for name, other in (("source", self.source), *self.read):
            if _overlap(view, other):
                raise ArgumentError(f"out: expected memory of its own, got memory of {name}")

    def _new(self, shape: tuple[int, ...]) -> Any:
        """A new array of CuPy, in type and layout of the source."""
        cupy = _cupy()
        n, c, *sizes = shape
        dtype = getattr(self.given, "dtype", None) if is_of_cupy(self.given) else self._type()
        with cupy.cuda.Device(self.source.device), _in_stream(cupy, self.stream, self.queue):
            if not self.channels_last:
                return cupy.empty(shape, dtype)
            return cupy.moveaxis(cupy.empty((n, *sizes, c), dtype), -1, 1)

    def _type(self) -> Any:
        if self.source.element != "bf16":
            return {"f32": "float32", "f16": "float16"}[self.source.element]
        try:
            from ml_dtypes import bfloat16
        except ImportError as error:
            raise MissingDependency(
                "ml_dtypes is not installed, by which CuPy knows bfloat16; pip install ml_dtypes, "
                "or give the array to be written to as out="
            ) from error
        return bfloat16


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise MissingDependency(
            "CuPy is not installed, which makes the new array; give the array to be written to as out=, "
            "or pip install cupy-cuda12x or cupy-cuda13x, whichever nvidia-smi shows"
        ) from error
    return cupy


def _address_of(stream: Any, device: int | None) -> int:
    """Where a stream lies; 0 is the default one."""
    if stream is None:
        cupy = sys.modules.get("cupy")
        if cupy is None:
            return 0
        stream = cupy.cuda.get_current_stream(-1 if device is None else device)
    if isinstance(stream, int):
        return stream
    for name in ("ptr", "cuda_stream"):  # of CuPy, of torch
        if hasattr(stream, name):
            return int(getattr(stream, name))
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])
    raise ArgumentError(
        f"stream: expected an address, or a stream of CuPy, torch or cuda.core, got {stream!r}"
    )


class _Foreign:
    """A stream by its address, in NVIDIA's protocol for streams of Python."""

    def __init__(self, address: int) -> None:
        self.address = address

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address


def _in_stream(cupy: Any, stream: Any, address: int) -> AbstractContextManager[Any]:
    """Where a new array is made: CuPy gives memory again to the stream on which it was given back.

    Memory of another stream may be read there yet, by what was queued before.
    """
    if stream is None:
        return nullcontext()
    if hasattr(stream, "ptr") and hasattr(stream, "__enter__"):
        return stream  # type: ignore[no-any-return]
    if not address:
        return cupy.cuda.Stream.null  # type: ignore[no-any-return]
    by_protocol = getattr(cupy.cuda.Stream, "from_external", None)  # from CuPy 14 on
    made: AbstractContextManager[Any]
    made = by_protocol(_Foreign(address)) if by_protocol else cupy.cuda.ExternalStream(address)
    return made


def _check_channels_last(name: str, view: View) -> None:
    if not is_channels_last(view):
        raise ArgumentError(
            f"{name}: expected a contiguous array, or one of channels-last layout, got shape {view.shape} "
            f"with strides {view.strides}; cupy.ascontiguousarray makes one"
        )
    if not takes_channels_last(view.shape[1], view.element):
        fits = VECTOR_BYTES // ELEMENT_BYTES[view.element]
        raise ArgumentError(
            f"{name}: expected a multiple of {fits} channels where they come last, got {view.shape[1]}; "
            "cupy.ascontiguousarray puts them first"
        )
    if view.address % VECTOR_BYTES:
        raise ArgumentError(
            f"{name}: expected an address that is a multiple of {VECTOR_BYTES} where channels come last, "
            f"got {view.address:#x}; copy the array"
        )


def _overlap(one: View, other: View) -> bool:
    """Whether two arrays without gaps share memory."""
    ends = [view.address + math.prod(view.shape) * ELEMENT_BYTES[view.element] for view in (one, other)]
    return one.address < ends[1] and other.address < ends[0]
