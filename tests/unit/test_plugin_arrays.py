"""The fused kernels on arrays: every way to hand one over, its stream, its layout, and what is refused."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stn_deploy.errors import ArgumentError, MissingDependency, ShapeError
from stn_deploy.plugins import arrays
from stn_deploy.plugins.launch.plan import Sampling
from tests.device_arrays import (
    MAKERS,
    CupyArray,
    DlpackArray,
    FakeCupy,
    InterfaceArray,
    VersionedArray,
    cupy,
    of_cupy,
)
from tests.emulated_launcher import EmulatedLauncher
from tests.operator_inputs import OUTPUT, launched, tensors
from tests.tolerances import SAMPLE

__all__ = ["cupy"]  # a fixture

each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> EmulatedLauncher:
    """What runs the kernels."""
    emulated = EmulatedLauncher()
    monkeypatch.setattr(arrays, "gpu_launcher", lambda: emulated)
    return emulated


def expected_of(inputs: dict[str, Any], **changed: Any) -> np.ndarray:
    return launched(EmulatedLauncher(), inputs, **changed).float().numpy()


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.full(shape, torch.nan, dtype=dtype)


@each_maker
def test_every_maker_of_arrays_is_understood(make: Any, launcher: EmulatedLauncher) -> None:
    inputs = tensors()
    out = empty(3, 2, *OUTPUT)
    given: dict[str, Any] = {name: make(tensor) for name, tensor in inputs.items()}
    target = make(out)
    assert arrays.theta_grid_sample(**given, output_size=OUTPUT, out=target) is target
    np.testing.assert_array_equal(out.numpy(), expected_of(inputs))


@each_maker
def test_a_grid_from_every_maker_is_understood(make: Any, launcher: EmulatedLauncher) -> None:
    inputs = tensors()
    inputs["extents"] = torch.ones(3, 2)
    grid = (inputs["basis"] @ inputs["theta"]).reshape(3, *OUTPUT, 2)
    out = empty(3, 2, *OUTPUT)
    arrays.grid_sample(make(inputs["source"]), make(grid), out=make(out))
    np.testing.assert_allclose(out.numpy(), expected_of(inputs), rtol=0, atol=SAMPLE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [of_cupy, DlpackArray], ids=["CuPy", "DLPack"])
def test_half_precision_is_understood(dtype: torch.dtype, make: Any, launcher: EmulatedLauncher) -> None:
    inputs = tensors()
    inputs["source"] = inputs["source"].to(dtype)
    out = empty(3, 2, *OUTPUT, dtype=dtype)
    given: dict[str, Any] = {name: make(tensor) for name, tensor in inputs.items()}
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=make(out))
    element = "f16" if dtype == torch.float16 else "bf16"
    assert launcher.launched[0][0].kernel.sampling == Sampling(element=element)
    np.testing.assert_array_equal(out.float().numpy(), expected_of(inputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [of_cupy, DlpackArray], ids=["CuPy", "DLPack"])
def test_a_new_array_is_one_of_cupy(
    dtype: torch.dtype, make: Any, launcher: EmulatedLauncher, cupy: FakeCupy
) -> None:
    inputs = tensors()
    inputs["source"] = inputs["source"].to(dtype)
    given: dict[str, Any] = {name: make(tensor) for name, tensor in inputs.items()}
    found = arrays.theta_grid_sample(**given, output_size=OUTPUT)
    assert isinstance(found, CupyArray)
    assert str(found.dtype) == str(dtype).removeprefix("torch.")
    np.testing.assert_array_equal(found.held.astype(np.float32), expected_of(inputs))


@each_maker
def test_channels_stay_last(make: Any, launcher: EmulatedLauncher, cupy: FakeCupy) -> None:
    inputs = tensors(c=8)
    inputs["source"] = inputs["source"].contiguous(memory_format=torch.channels_last)
    given: dict[str, Any] = {name: make(tensor) for name, tensor in inputs.items()}
    found = arrays.theta_grid_sample(**given, output_size=OUTPUT)
    assert launcher.launched[0][0].kernel.sampling == Sampling(channels_last=True)
    assert np.moveaxis(found.held, 1, -1).flags.c_contiguous
    np.testing.assert_array_equal(found.held, expected_of(inputs))
    out = empty(3, 8, *OUTPUT).contiguous(memory_format=torch.channels_last)
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=make(out))
    np.testing.assert_array_equal(out.numpy(), found.held)


def test_strides_of_an_axis_of_one_pixel_mean_nothing(launcher: EmulatedLauncher) -> None:
    inputs = tensors(n=1, c=1)
    source = inputs["source"].as_strided((1, 1, 7, 12), (999, 77, 12, 1))
    out = empty(1, 1, *OUTPUT)
    given: dict[str, Any] = {
        name: DlpackArray(tensor) for name, tensor in {**inputs, "source": source}.items()
    }
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=DlpackArray(out))
    assert launcher.launched[0][0].kernel.sampling == Sampling()
    np.testing.assert_array_equal(out.numpy(), expected_of(inputs))


def test_settings_reach_the_kernel(launcher: EmulatedLauncher) -> None:
    inputs = tensors()
    inputs["theta"] = torch.cat([inputs["theta"], torch.full((3, 5, 1), 0.7)], dim=2)
    out = empty(3, 2, *OUTPUT)
    settings: dict[str, Any] = {
        "mode": "bicubic",
        "padding": "zeros",
        "align_corners": True,
        "homogeneous": True,
    }
    given: dict[str, Any] = {name: DlpackArray(tensor) for name, tensor in inputs.items()}
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=DlpackArray(out), **settings)
    expected = expected_of(inputs, settings=tuple(settings.values()))
    np.testing.assert_array_equal(out.numpy(), expected)


def test_without_extents_images_fill_their_canvas(launcher: EmulatedLauncher) -> None:
    inputs = tensors()
    out = empty(3, 2, *OUTPUT)
    given: dict[str, Any] = {
        name: DlpackArray(tensor) for name, tensor in inputs.items() if name != "extents"
    }
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=DlpackArray(out))
    assert launcher.launched[0][0].arguments[3] == 0
    np.testing.assert_array_equal(out.numpy(), expected_of({**inputs, "extents": torch.ones(3, 2)}))


@pytest.mark.parametrize("empty_axis", ["batch", "channels", "output"])
def test_nothing_to_sample_is_no_launch(empty_axis: str, launcher: EmulatedLauncher, cupy: FakeCupy) -> None:
    inputs = (
        tensors(n=0) if empty_axis == "batch" else tensors(c=0) if empty_axis == "channels" else tensors()
    )
    size = (0, 4) if empty_axis == "output" else OUTPUT
    inputs["basis"] = inputs["basis"][: size[0] * size[1]]
    for make in (of_cupy, DlpackArray, InterfaceArray):
        given: dict[str, Any] = {name: make(tensor) for name, tensor in inputs.items()}
        found = arrays.theta_grid_sample(**given, output_size=size)
        assert found.shape == (*inputs["source"].shape[:2], *size)
    assert not launcher.launched


class TorchStream:
    cuda_stream = 0x77


class CoreStream:
    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, 0x88


@pytest.mark.parametrize(
    ("stream", "address"), [(0x66, 0x66), (TorchStream(), 0x77), (CoreStream(), 0x88), (None, 0)]
)
def test_work_is_queued_on_the_stream_that_is_named(
    stream: Any, address: int, launcher: EmulatedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    given: dict[str, Any] = {name: DlpackArray(tensor, 1) for name, tensor in tensors().items()}
    out = DlpackArray(empty(3, 2, *OUTPUT), 1)
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=out, stream=stream)
    assert launcher.launched[0][1:] == (1, address)
    # Whoever made the arrays lets this stream wait for them; DLPack calls the default one 1.
    assert [asked["stream"] for each in given.values() for asked in each.asked] == [address or 1] * 4


def test_work_is_queued_on_the_current_stream_of_cupy(launcher: EmulatedLauncher, cupy: FakeCupy) -> None:
    cupy.streams = {0: 0x10, 1: 0x11}
    for device in (0, 1):
        for make in (lambda held: CupyArray(held, device), lambda held: DlpackArray(held, device)):  # noqa: B023
            given: dict[str, Any] = {name: make(tensor) for name, tensor in tensors().items()}
            arrays.theta_grid_sample(**given, output_size=OUTPUT)
            assert launcher.launched[-1][1:] == (device, 0x10 + device)
    assert cupy.made == [(0, 0), (0, 0), (1, 0), (1, 0)]


def test_a_new_array_belongs_to_the_stream_of_cupy_that_is_named(
    launcher: EmulatedLauncher, cupy: FakeCupy
) -> None:
    given: dict[str, Any] = {name: of_cupy(tensor) for name, tensor in tensors().items()}
    arrays.theta_grid_sample(**given, output_size=OUTPUT, stream=cupy.stream(0x42))
    assert launcher.launched[0][2] == 0x42
    assert cupy.made == [(0, 0x42)]


@pytest.mark.parametrize("old", [False, True], ids=["CuPy 14", "CuPy 13"])
@pytest.mark.parametrize(
    ("stream", "address"), [(0x66, 0x66), (TorchStream(), 0x77), (CoreStream(), 0x88), (0, 0)]
)
def test_a_new_array_belongs_to_the_stream_that_is_named_whoever_made_that(
    stream: Any, address: int, old: bool, launcher: EmulatedLauncher, cupy: FakeCupy
) -> None:
    """Else CuPy may give it memory that another stream still reads."""
    if old:
        del cupy.cuda.Stream.from_external
    given: dict[str, Any] = {name: of_cupy(tensor) for name, tensor in tensors().items()}
    with cupy.stream(0x42):
        arrays.theta_grid_sample(**given, output_size=OUTPUT, stream=stream)
    assert launcher.launched[0][2] == address
    assert cupy.made == [(0, address)]


def test_a_stream_that_an_array_is_made_on_is_waited_for(launcher: EmulatedLauncher) -> None:
    inputs = tensors()
    queued = {"source": 0x55, "basis": None, "theta": 1, "extents": 0x66}
    given: dict[str, Any] = {
        name: InterfaceArray(tensor, stream=queued[name]) for name, tensor in inputs.items()
    }
    out = InterfaceArray(empty(3, 2, *OUTPUT))
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=out, stream=0x66)
    assert launcher.ordered == [(0x55, 0x66), (1, 0x66)]
    launcher.ordered.clear()
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=out)
    assert launcher.ordered == [(0x55, 0), (0x66, 0)]


def array_of(held: Tensor, **said: Any) -> DlpackArray:
    return DlpackArray(held, **said)


IN_HOST_MEMORY = np.zeros((3, 2, 7, 12), np.float32)
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "NumPy": (
        {"source": IN_HOST_MEMORY},
        ArgumentError,
        "source: expected an array in the memory of a GPU, got ndarray elsewhere; move it there",
    ),
    "a list": (
        {"theta": [[0.0]]},
        ArgumentError,
        "theta: expected an array in the memory of a GPU, got list",
    ),
    "another GPU": (
        {"theta": array_of(torch.zeros(3, 5, 2), device=1)},
        ArgumentError,
        "theta: expected an array on GPU 0 like source, got one on 1",
    ),
    "double": (
        {"source": array_of(torch.zeros(3, 2, 7, 12, dtype=torch.float64))},
        ArgumentError,
        "source: expected float32, float16 or bfloat16, got type 2, 64 bits",
    ),
    "double from CuPy": (
        {"source": of_cupy(torch.zeros(3, 2, 7, 12, dtype=torch.float64))},
        ArgumentError,
        "source: expected float32, float16 or bfloat16, got float64",
    ),
    "bytes": (
        {"source": InterfaceArray(torch.zeros(3, 2, 7, 12, dtype=torch.uint8))},
        ArgumentError,
        "source: expected float32, float16 or bfloat16, got type |u1",
    ),
    "half theta": (
        {"theta": array_of(torch.zeros(3, 5, 2).half())},
        ArgumentError,
        "theta: expected float32, got f16; cast it with .astype",
    ),
    "strided theta": (
        {"theta": array_of(torch.zeros(3, 2, 5).transpose(1, 2))},
        ArgumentError,
        "theta: expected a contiguous array, got strides (10, 1, 5); cupy.ascontiguousarray",
    ),
    "strided source": (
        {"source": array_of(torch.zeros(3, 2, 12, 7).transpose(2, 3))},
        ArgumentError,
        "source: expected a contiguous array, or one of channels-last layout, got shape (3, 2, 7, 12) with",
    ),
    "few channels last": (
        {"source": array_of(torch.zeros(3, 7, 12, 2).permute(0, 3, 1, 2))},
        ArgumentError,
        "source: expected a multiple of 4 channels where they come last, got 2; cupy.ascontiguousarray",
    ),
    "channels between vectors": (
        {"source": array_of(torch.zeros(3 * 7 * 12 * 8 + 1)[1:].view(3, 7, 12, 8).permute(0, 3, 1, 2))},
        ArgumentError,
        "source: expected an address that is a multiple of 16 where channels come last, got 0x",
    ),
    "masked": (
        {"source": InterfaceArray(torch.zeros(3, 2, 7, 12), mask=object())},
        ArgumentError,
        "source: expected an array without a mask",
    ),
    "flat source": ({"source": array_of(torch.zeros(3, 7, 12))}, ShapeError, "source: expected (n, c, H, W)"),
    "other K": ({"theta": array_of(torch.zeros(3, 6, 2))}, ShapeError, "theta: expected (3, 5, 2)"),
    "no size": ({"output_size": 20}, ArgumentError, "output_size: expected 2 whole numbers, got 20"),
    "mode": (
        {"mode": "cubic"},
        ArgumentError,
        "mode: expected one of nearest, bilinear, bicubic, got 'cubic'",
    ),
    "switch": ({"homogeneous": 1}, ArgumentError, "homogeneous: expected True or False, got 1"),
    "stream": (
        {"stream": "fast"},
        ArgumentError,
        "stream: expected an address, or a stream of CuPy, torch or",
    ),
    "small out": ({"out": array_of(torch.zeros(3, 2, 5, 3))}, ShapeError, "out: expected (3, 2, 5, 4), got"),
    "half out": (
        {"out": array_of(torch.zeros(3, 2, 5, 4).half())},
        ArgumentError,
        "out: expected f32 like source",
    ),
    "out elsewhere": (
        {"out": array_of(torch.zeros(3, 2, 5, 4), device=1)},
        ArgumentError,
        "out: expected an array on GPU 0 like source, got one on 1",
    ),
    "strided out": (
        {"out": array_of(torch.zeros(3, 5, 4, 2).permute(0, 3, 1, 2))},
        ArgumentError,
        "out: expected a contiguous array like source, got strides",
    ),
    "read-only out": (
        {"out": VersionedArray(torch.zeros(3, 2, 5, 4), read_only=True)},
        ArgumentError,
        "out: expected an array that may be written to, got a read-only one",
    ),
    "read-only interface": (
        {"out": InterfaceArray(torch.zeros(3, 2, 5, 4), data=(0x1000, True))},
        ArgumentError,
        "out: expected an array that may be written to, got a read-only one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str, launcher: EmulatedLauncher) -> None:
    changed, kind, message = REFUSED[name]
    given: dict[str, Any] = {name: DlpackArray(tensor) for name, tensor in tensors().items()}
    given |= {"output_size": OUTPUT, "out": DlpackArray(empty(3, 2, *OUTPUT))}
    with pytest.raises(kind, match=re.escape(message)):
        arrays.theta_grid_sample(**{**given, **changed})
    assert not launcher.launched


def test_an_output_in_the_memory_of_the_source_is_refused(launcher: EmulatedLauncher) -> None:
    inputs = tensors()
    given: dict[str, Any] = {name: DlpackArray(tensor) for name, tensor in inputs.items()}
    for part in (inputs["source"].flatten()[:120], inputs["source"].flatten()[-120:]):
        with pytest.raises(ArgumentError, match="out: expected memory of its own, got memory of source"):
            arrays.theta_grid_sample(**given, output_size=OUTPUT, out=DlpackArray(part.view(3, 2, *OUTPUT)))


@pytest.mark.parametrize("name", ["basis", "theta", "extents"])
def test_an_output_in_the_memory_of_what_positions_come_from_is_refused(
    name: str, launcher: EmulatedLauncher
) -> None:
    inputs = tensors()
    room = empty(3 * 2 * 20 + inputs[name].numel())
    room[100 : 100 + inputs[name].numel()] = inputs[name].flatten()
    inputs[name] = room[100 : 100 + inputs[name].numel()].view(inputs[name].shape)
    given: dict[str, Any] = {each: DlpackArray(tensor) for each, tensor in inputs.items()}
    with pytest.raises(ArgumentError, match=f"out: expected memory of its own, got memory of {name}"):
        arrays.theta_grid_sample(**given, output_size=OUTPUT, out=DlpackArray(room[:120].view(3, 2, *OUTPUT)))
    assert not launcher.launched


def test_a_grid_that_does_not_fit_is_refused(launcher: EmulatedLauncher) -> None:
    source = DlpackArray(tensors()["source"])
    with pytest.raises(ShapeError, match=re.escape("grid: expected (n, h, w, 2)")):
        arrays.grid_sample(source, DlpackArray(torch.zeros(3, 5, 4, 3)))


def test_without_cupy_the_output_must_be_given(
    launcher: EmulatedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    given: dict[str, Any] = {name: DlpackArray(tensor) for name, tensor in tensors().items()}
    with pytest.raises(MissingDependency, match="give the array to be written to as out="):
        arrays.theta_grid_sample(**given, output_size=OUTPUT)


def test_a_view_keeps_the_memory_that_it_was_given(launcher: EmulatedLauncher) -> None:
    """A maker that copies on export: its copy lives until the launch is queued."""

    class Copying(DlpackArray):
        def __dlpack__(self, stream: int | None = None) -> Any:
            return self.held.clone().__dlpack__()

    inputs = tensors()
    out = empty(3, 2, *OUTPUT)
    given: dict[str, Any] = {name: Copying(tensor) for name, tensor in inputs.items()}
    arrays.theta_grid_sample(**given, output_size=OUTPUT, out=DlpackArray(out))
    np.testing.assert_array_equal(out.numpy(), expected_of(inputs))
