"""The C++ plugin samples: enqueue, from descriptions and addresses to pixels, with the kernels on the host.

Each tensor has a block of memory of exactly its size, and the sanitizer watches what lies around it.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.export.node import OP_TYPE, NodeKind
from tests.node_models import KINDS, SIZES, expected_of, inputs_for, words
from tests.plugin_library import NO_HEADERS, Harness, headers, version_of
from tests.sampling import SIZES as PAIRS
from tests.sampling import random_pair
from tests.tolerances import SAMPLE

pytestmark = pytest.mark.skipif(not headers(), reason=NO_HEADERS)

OWN = ("plugin_namespace", "plugin_version")
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
ROUNDING = {"f32": 0.0, "f16": 2.0**-11, "bf16": 2.0**-8}
"""Half a unit in the last place of V, for a number of size one."""
GARBAGE = float("nan")


def bytes_of(tensor: Tensor) -> bytes:
    whole = tensor.contiguous()
    return (whole if whole.dtype == torch.float32 else whole.view(torch.int16)).numpy().tobytes()


def channels_last(tensor: Tensor) -> Tensor:
    """As TensorRT lays out kHWC8 and kDHWC8: channels last, filled up to 8, with garbage here."""
    missing = -tensor.shape[1] % 8
    padding = torch.full((tensor.shape[0], missing, *tensor.shape[2:]), GARBAGE, dtype=tensor.dtype)
    return torch.cat([tensor, padding], dim=1).movedim(1, -1)


def described(tensor: Tensor, element: str = "f32", layout: str = "linear") -> str:
    return f"{element}/{layout}/{','.join(map(str, tensor.shape))}"


def sampled(
    folder: Path,
    operation: str,
    fields: dict[str, Any],
    inputs: list[Tensor],
    size: tuple[int, ...],
    *,
    element: str = "f32",
    last: bool = False,
    versions: tuple[int, int] = (-1, -1),
) -> Tensor:
    """What a plugin writes, as (N, C, *size). versions: headers of harness and library."""
    source = inputs[0].to(TYPES[element])
    layout = {2: "hwc8", 3: "dhwc8"}[len(size)] if last else "linear"
    output = torch.full((*source.shape[:2], *size), GARBAGE, dtype=source.dtype)
    stored = [channels_last(source) if last else source, *inputs[1:]]
    for index, tensor in enumerate(stored):
        (folder / f"in{index}").write_bytes(bytes_of(tensor))
    written = channels_last(output) if last else output
    (folder / "out").write_bytes(bytes_of(written))
    files = ";".join(str(folder / f"in{index}") for index in range(len(inputs)))
    ins = ";".join([described(source, element, layout), *map(described, inputs[1:])])
    out = described(output, element, layout)
    program, library = (headers()[index] for index in versions)
    with Harness(program, library_of=library) as harness:
        plugin = harness.plugin(operation, **fields)
        assert harness("change", plugin, ins, out)["code"] == 0
        answer = harness("enqueue", plugin, ins, out, files, folder / "out")
    assert answer["code"] == 0, answer
    raw = np.frombuffer((folder / "out").read_bytes(), np.float32 if element == "f32" else np.int16)
    values = torch.from_numpy(raw.copy()).view(source.dtype).reshape(written.shape)
    return values.movedim(-1, 1)[:, : source.shape[1]] if last else values


def by_plugin(folder: Path, kind: NodeKind, inputs: dict[str, np.ndarray], **how: Any) -> Tensor:
    fields = {name: value for name, value in kind.attributes.items() if name not in OWN}
    size = SIZES[kind.dimensions][1]
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    return sampled(folder, OP_TYPE, {**fields, "output_size": size}, tensors, size, **how)


@pytest.mark.parametrize("kind", KINDS, ids=words)
def test_the_plugin_of_a_node_is_the_paper_s_sampler(kind: NodeKind, tmp_path: Path) -> None:
    inputs = inputs_for(kind, pad=3)
    expected = expected_of(kind, inputs)
    assert np.ptp(expected) > 1
    assert np.abs(by_plugin(tmp_path, kind, inputs).numpy() - expected).max() < SAMPLE


@pytest.mark.parametrize("major", [10, 11])
@pytest.mark.parametrize("order", [(0, -1), (-1, 0)], ids=["newer library", "newer TensorRT"])
def test_a_library_is_for_every_minor_version_of_its_tensorrt(
    major: int, order: tuple[int, int], tmp_path: Path
) -> None:
    same = [index for index, folder in enumerate(headers()) if version_of(folder)[0] == major]
    if len(same) < 2:
        pytest.skip(f"needs headers of two versions of TensorRT {major}: TENSORRT_INCLUDE")
    kind = KINDS[-1]
    inputs = inputs_for(kind, pad=3)
    first, second = (same[index] for index in order)
    values = by_plugin(tmp_path, kind, inputs, versions=(first, second)).numpy()
    assert np.abs(values - expected_of(kind, inputs)).max() < SAMPLE


@pytest.mark.parametrize("kind", KINDS[::3], ids=words)
@pytest.mark.parametrize("element", ["f16", "bf16"])
@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels last"])
def test_half_precision_rounds_what_is_read_and_written_and_nothing_between(
    kind: NodeKind, element: str, last: bool, tmp_path: Path
) -> None:
    inputs = inputs_for(kind, pad=3)
    rounded = torch.from_numpy(inputs["source"]).to(TYPES[element]).float().numpy()
    expected = expected_of(kind, {**inputs, "source": rounded})
    values = by_plugin(tmp_path, kind, inputs, element=element, last=last).float().numpy()
    allowed = SAMPLE + ROUNDING[element] * np.abs(expected)
    assert (np.abs(values - expected) <= allowed).all()


@pytest.mark.parametrize("align", [False, True], ids=["edges", "centres"])
@pytest.mark.parametrize("padding", ["border", "zeros", "reflection"])
@pytest.mark.parametrize(
    ("mode", "sizes"),
    [*product(("nearest", "bilinear", "bicubic"), [PAIRS[3]]), *product(("nearest", "bilinear"), [PAIRS[5]])],
    ids=lambda value: value if isinstance(value, str) else f"{len(value[0])}d",
)
def test_with_a_given_grid_the_plugin_is_torch_s_grid_sample(
    mode: str, sizes: tuple[tuple[int, ...], tuple[int, ...]], padding: str, align: bool, tmp_path: Path
) -> None:
    source, grid = random_pair(*sizes)
    fields = {
        "interpolation": ("nearest", "bilinear", "bicubic").index(mode),
        "padding": ("border", "zeros", "reflection").index(padding),
        "align_corners": int(align),
    }
    expected = F.grid_sample(source, grid, mode=mode, padding_mode=padding, align_corners=align)
    values = sampled(tmp_path, "GivenGridSample", fields, [source, grid], sizes[1])
    assert (values - expected).abs().max() < SAMPLE


def test_positions_that_are_no_numbers_give_zero_and_far_ones_the_border(tmp_path: Path) -> None:
    source, grid = random_pair(*PAIRS[3])
    hostile = [float("nan"), float("inf"), float("-inf"), 1e20, -3e38]
    for index, value in enumerate(hostile):
        grid[:, index, :, index % 2] = value
    values = sampled(tmp_path, "GivenGridSample", {}, [source, grid], PAIRS[3][1])
    assert (values[:, :, :3] == 0).all()
    expected = F.grid_sample(source, grid.clamp(-1e6, 1e6), padding_mode="border", align_corners=False)
    assert (values[:, :, 3:] - expected[:, :, 3:]).abs().max() < SAMPLE
