"""What is launched: the twin of kernels/launch.h agrees with it, and no launch is planned that cannot be."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry.sampling import MODES, PADDINGS
from stn_deploy.plugins.launch import Lengths, Sampling, blocks_for, plan, plan_launch
from stn_deploy.plugins.launch.plan import kernel_for, offsets_of
from tests.emulation import KERNELS

HEADER = (KERNELS / "launch.h").read_text(encoding="utf-8")
LENGTHS = Lengths(n=2, c=3, depth=1, height=7, width=12, k=5, points=20)


def constants() -> dict[str, int]:
    """Whole numbers that the header defines."""
    return {name: int(value) for name, value in re.findall(r"constexpr int32_t (k\w+) = (\d+);", HEADER)}


def enumeration(name: str) -> dict[str, int]:
    (body,) = re.findall(rf"enum class {name} : int32_t \{{([^}}]*)\}}", HEADER)
    return {key: int(value) for key, value in re.findall(r"(\w+) = (\d+)", body)}


def test_constants_are_those_of_the_header() -> None:
    assert constants() == {
        "kThreads": plan.THREADS,
        "kPointsPerBlock": plan.POINTS_PER_BLOCK,
        "kChannelsPerBlock": plan.CHANNELS_PER_BLOCK,
        "kBlocksWanted": plan.BLOCKS_WANTED,
    }


def test_codes_are_those_of_the_header() -> None:
    assert enumeration("Interpolation") == plan.INTERPOLATION_CODES
    assert enumeration("Padding") == plan.PADDING_CODES
    assert list(enumeration("Element").values()) == list(range(len(plan.ELEMENT_BYTES)))
    assert [name[0] for name in enumeration("Element")] == [name[0] for name in plan.ELEMENT_BYTES]


def test_fields_are_those_of_the_header() -> None:
    (body,) = re.findall(r"struct Lengths \{([^}]*)\}", HEADER)
    assert tuple(re.findall(r"(\w+) = \d+", body)) == Lengths._fields
    (body,) = re.findall(r"struct Sampling \{([^}]*)\}", HEADER)
    fields = tuple(re.findall(r"^\s+[\w:]+ (\w+) =", body, re.MULTILINE))
    renamed = ["mode" if field == "interpolation" else field for field in fields]
    assert tuple(renamed) == Sampling._fields


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        pytest.skip("compiles the header of the kernels: needs g++")
    return found


def test_blocks_are_those_of_the_header(compiler: str, tmp_path: Path) -> None:
    counts = (0, 1, 3, 16, 4095, 4096, 4097, 2**31 - 1)
    positions = (0, 1, 127, 128, 129, 3200, 2**31 - 1)
    several = [
        Lengths(n, c, 1, 7, 12, 5, points) for n, c, points in product(counts, (1, 3, 32, 33, 512), positions)
    ]
    rows = ",\n".join(f"{{{', '.join(map(str, each))}}}" for each in several)
    program = tmp_path / "blocks.cpp"
    program.write_text(
        '#include <cstdio>\n#include "launch.h"\n'
        f"const stn_deploy::Lengths several[] = {{{rows}}};\n"
        "int main() { for (const auto& each : several) "
        'std::printf("%lld\\n", static_cast<long long>(stn_deploy::blocks_for(each))); }\n'
    )
    built = tmp_path / "blocks"
    subprocess.run([compiler, "-std=c++17", f"-I{KERNELS}", str(program), "-o", str(built)], check=True)
    done = subprocess.run([str(built)], check=True, capture_output=True, text=True)
    assert [blocks_for(each) for each in several] == [int(line) for line in done.stdout.split()]


EVERY = [
    (operation, Sampling(dimensions, mode, element=element, channels_last=last))
    for operation, (dimensions, modes), element, last in product(
        plan.ARGUMENTS, MODES.items(), plan.ELEMENT_BYTES, (False, True)
    )
    for mode in modes
    if not (last and operation.endswith("_backward"))
]


def test_every_kernel_is_in_the_shipped_ptx_with_these_types_of_arguments() -> None:
    for operation, sampling in EVERY:
        kernel = kernel_for(operation, sampling)
        text = (KERNELS / "ptx" / f"{kernel.module}.ptx").read_text(encoding="ascii")
        (parameters,) = re.findall(rf"\.entry {kernel.name}\(([^)]*)\)", text)
        types = re.findall(r"\.param \.(\w+)", parameters)
        assert "".join({"u64": "P", "u32": "i"}[given] for given in types) == kernel.layout, kernel.name


def test_the_shipped_ptx_holds_no_kernel_that_cannot_be_launched() -> None:
    shipped = {
        name
        for path in (KERNELS / "ptx").glob("*.ptx")
        for name in re.findall(r"\.entry (\w+)\(", path.read_text(encoding="ascii"))
    }
    assert shipped == {kernel_for(*each).name for each in EVERY}


@pytest.mark.parametrize("operation", plan.ARGUMENTS)
def test_arguments_are_in_the_order_of_the_kernels_source(compiler: str, operation: str) -> None:
    defines = [f"-DSTN_OPERATION=STN_{operation.upper()}", "-DSTN_AXES=2", "-DSTN_INTERPOLATION=linear"]
    command = [compiler, "-std=c++17", "-E", "-DSTN_EMULATION", *defines, f"-I{KERNELS}", "-x", "c++"]
    done = subprocess.run([*command, str(KERNELS / "kernels.cu")], check=True, capture_output=True, text=True)
    kernel = kernel_for(operation, Sampling())
    (parameters,) = re.findall(rf"{kernel.name}\s*\(([^)]*\w+\s+\w+[^)]*)\)", done.stdout)
    names = tuple(re.findall(r"(\w+)\s*(?:,|$)", parameters))
    assert names == tuple(name for part in plan.ARGUMENTS[operation] for name in part)


def test_arguments_lie_as_a_struct_of_c_would_have_them() -> None:
    assert offsets_of("PiPiiP") == [0, 8, 16, 24, 28, 32]
    layout = kernel_for("theta_grid_sample", Sampling()).layout
    assert offsets_of(layout)[-1] + struct.calcsize("P") == struct.calcsize(f"@{layout}")


def test_a_launch_holds_its_arguments_in_order() -> None:
    sampling = Sampling(2, "bicubic", "reflection", True, True, "bf16", True)
    call = plan_launch("theta_grid_sample", sampling, LENGTHS, (1, 2, 3, 0), (9,))
    assert call.kernel.name == "theta_grid_sample_2d_cubic_bf16_channels_last"
    assert call.kernel.module == "theta_grid_sample_2d_cubic"
    assert call.blocks == 2
    assert call.arguments == (1, 2, 3, 0, 2, 3, 1, 7, 12, 5, 20, 2, 1, 1, 9)


def test_a_launch_with_a_grid_has_no_basis_and_no_divisor() -> None:
    sampling = Sampling(3, "trilinear", "zeros", element="f16")
    lengths = Lengths(2, 3, 4, 7, 5, 0, 30)
    call = plan_launch("grid_sample_backward", sampling, lengths, (1, 2, 3), (0, 9))
    assert call.kernel.name == "grid_sample_backward_3d_linear_f16"
    assert call.arguments == (1, 2, 3, 2, 3, 4, 7, 5, 30, 1, 0, 0, 9)


def test_a_kernel_is_one_object() -> None:
    assert kernel_for("grid_sample", Sampling()) is kernel_for("grid_sample", Sampling())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dimensions": 4}, "dimensions: expected 2 or 3, got 4"),
        ({"mode": "trilinear"}, "mode: expected one of nearest, bilinear, bicubic, got 'trilinear'"),
        ({"dimensions": 3, "mode": "bicubic"}, "mode: expected one of nearest, trilinear, got 'bicubic'"),
        ({"padding": "wrap"}, "padding: expected one of border, zeros, reflection, got 'wrap'"),
        ({"element": "f64"}, "element: expected one of f32, f16, bf16, got 'f64'"),
    ],
)
def test_unknown_settings_are_refused(changed: dict[str, Any], message: str) -> None:
    sampling = Sampling()._replace(**changed)
    with pytest.raises(ArgumentError, match=re.escape(message)):
        plan_launch("theta_grid_sample", sampling, LENGTHS, (1, 2, 3, 4), (5,))


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ArgumentError, match="operation: expected one of .*theta_grid_sample.*, got 'warp'"):
        plan_launch("warp", Sampling(), LENGTHS, (1, 2, 3, 4), (5,))


def test_backward_kernels_take_no_channels_last() -> None:
    with pytest.raises(ArgumentError, match="expected a contiguous source, got channels-last"):
        kernel_for("grid_sample_backward", Sampling(channels_last=True))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ((1, 2, 3), (4,), "expected the addresses source, basis, theta, extents, output, got 4"),
        ((1, 2, 0, 4), (5,), "expected the address of theta, got null"),
        ((1, 2, 3, 4), (0,), "expected the address of output, got null"),
    ],
)
def test_missing_addresses_are_refused(
    inputs: tuple[int, ...], outputs: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        plan_launch("theta_grid_sample", Sampling(), LENGTHS, inputs, outputs)


@pytest.mark.parametrize("field", Lengths._fields)
@pytest.mark.parametrize("value", [0, -1, 2**31])
def test_lengths_that_the_kernels_cannot_count_are_refused(field: str, value: int) -> None:
    with pytest.raises(ShapeError, match=f"expected lengths from 1 to 2147483647.*{field}={value}"):
        plan_launch("theta_grid_sample", Sampling(), LENGTHS._replace(**{field: value}), (1, 2, 3, 4), (5,))


def test_work_for_more_blocks_than_a_launch_takes_is_refused() -> None:
    lengths = LENGTHS._replace(c=2**31 - 1, points=2**31 - 1)
    with pytest.raises(ShapeError, match="expected work for at most 2147483647 blocks"):
        plan_launch("theta_grid_sample", Sampling(), lengths, (1, 2, 3, 4), (5,))


def test_every_padding_has_a_code() -> None:
    assert tuple(plan.PADDING_CODES) == PADDINGS
    assert {mode for modes in MODES.values() for mode in modes} == set(plan.INTERPOLATIONS)
