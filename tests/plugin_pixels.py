"""Pixels out of the C++ plugin: tensors laid out as TensorRT does it, given to the harness, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.plugin_cases import Case, Inputs
from tests.plugin_library import Harness

MODES = {"nearest": 0, "bilinear": 1, "trilinear": 1, "bicubic": 2}
PADDINGS = {"border": 0, "zeros": 1, "reflection": 2}
ELEMENTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
GARBAGE = float("nan")


def by_theta(harness: Harness, folder: Path, case: Case, inputs: Inputs, **how: Any) -> np.ndarray:
    """V of a ThetaGridSample."""
    fields = {**fields_of(case), "homogeneous": int(case.homogeneous), "output_size": inputs.output_size}
    arrays = [inputs.source, inputs.basis, inputs.theta, inputs.extents]
    return sampled(harness, folder, "ThetaGridSample", fields, arrays, inputs.output_size, **how)


def by_grid(harness: Harness, folder: Path, case: Case, inputs: Inputs, **how: Any) -> np.ndarray:
    """V of a GivenGridSample."""
    arrays = [inputs.source, inputs.grid]
    return sampled(harness, folder, "GivenGridSample", fields_of(case), arrays, inputs.output_size, **how)


def fields_of(case: Case) -> dict[str, Any]:
    """What both operations have, as codes."""
    return {
        "interpolation": MODES[case.mode],
        "padding": PADDINGS[case.padding],
        "align_corners": int(case.align_corners),
    }


def sampled(
    harness: Harness,
    folder: Path,
    operation: str,
    fields: dict[str, Any],
    arrays: list[np.ndarray],
    size: tuple[int, ...],
    *,
    dtype: str = "float32",
    last: bool = False,
) -> np.ndarray:
    """What a plugin writes, (N, C, *size) in float32.

    Args:
        folder: for the files by which tensors travel.
        arrays: the inputs, in their order. dtype: that the source is rounded to, and of V.
        last: source and V have their channels last.
    """
    source, *others = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    source = source.to(getattr(torch, dtype))
    output = torch.full((*source.shape[:2], *size), GARBAGE, dtype=source.dtype)
    layout = {2: "hwc8", 3: "dhwc8"}[len(size)] if last else "linear"
    written = channels_last(output) if last else output
    for index, tensor in enumerate([channels_last(source) if last else source, *others]):
        (folder / f"in{index}").write_bytes(bytes_of(tensor))
    (folder / "out").write_bytes(bytes_of(written))
    described = f"{ELEMENTS[dtype]}/{layout}"
    ins = ";".join([text(source, described), *(text(tensor, "f32/linear") for tensor in others)])
    files = ";".join(str(folder / f"in{index}") for index in range(len(arrays)))

    plugin = harness.plugin(operation, **fields)
    assert harness("change", plugin, ins, text(output, described))["code"] == 0
    answer = harness("enqueue", plugin, ins, text(output, described), files, folder / "out")
    assert answer["code"] == 0, answer
    raw = torch.frombuffer(bytearray((folder / "out").read_bytes()), dtype=source.dtype)
    values = raw.reshape(written.shape)
    found = values.movedim(-1, 1)[:, : source.shape[1]] if last else values
    return found.float().numpy()


def rounded(source: np.ndarray, dtype: str) -> np.ndarray:
    """A source as a plugin of a type reads it."""
    return torch.from_numpy(source).to(getattr(torch, dtype)).float().numpy()


def channels_last(tensor: Tensor) -> Tensor:
    """As TensorRT lays out kHWC8 and kDHWC8: channels last, filled up to 8; with garbage, here."""
    missing = -tensor.shape[1] % 8
    filling = torch.full((tensor.shape[0], missing, *tensor.shape[2:]), GARBAGE, dtype=tensor.dtype)
    return torch.cat([tensor, filling], dim=1).movedim(1, -1)


def bytes_of(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def text(tensor: Tensor, described: str) -> str:
    return f"{described}/{','.join(map(str, tensor.shape))}"
