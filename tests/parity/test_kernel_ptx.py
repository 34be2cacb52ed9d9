"""The PTX that ships: made from the sources at hand, and good for every GPU since Turing."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import pytest

from stn_deploy.plugins.kernels.generate_ptx import (
    COMPILER,
    KINDS,
    NAMES,
    PTX,
    TARGET,
    VERSION,
    generate,
    record_of,
    release_of,
)
from tests.engines.install import folder_of
from tests.kernel_resources import ARCHITECTURES, GENERATIONS, Resources, assembler, recorded, resources_of
from tests.nvrtc import compile_ptx

POINTER, WHOLE = "u64", "u32"
ARGUMENTS = {
    "theta_grid_sample": [POINTER] * 4 + [WHOLE] * 10 + [POINTER],
    "grid_sample": [POINTER] * 2 + [WHOLE] * 8 + [POINTER],
    "theta_grid_sample_backward": [POINTER] * 5 + [WHOLE] * 10 + [POINTER] * 2,
    "grid_sample_backward": [POINTER] * 3 + [WHOLE] * 8 + [POINTER] * 2,
}
"""Of each kernel: inputs, whole numbers, outputs."""
each_name = pytest.mark.parametrize("name", NAMES)


def nvcc() -> Path:
    folder = folder_of("cuda-13.0")
    if folder is None:
        pytest.skip(f"needs nvcc {COMPILER}: python tests/engines/install.py")
    return folder / "nvidia/cu13/bin/nvcc"


def ptxas(toolkit: str) -> Path:
    found = assembler(toolkit)
    if found is None:
        pytest.skip(f"needs ptxas of {toolkit}: python tests/engines/install.py")
    return found


def kernels_of(name: str) -> list[str]:
    """The kernels that a file should hold."""
    layouts = [""] if "backward" in name else ["", "_channels_last"]
    return sorted(f"{name}_{element}{layout}" for element, layout in product(("f32", "f16", "bf16"), layouts))


def test_the_digest_is_of_the_sources_and_the_texts_at_hand() -> None:
    # Needs no compiler: a source that was changed without new PTX is seen everywhere.
    texts = [(name, (PTX / f"{name}.ptx").read_text(encoding="ascii")) for name in NAMES]
    assert json.loads((PTX / "digest.json").read_text(encoding="ascii")) == record_of(texts)
    assert sorted(path.stem for path in PTX.glob("*.ptx")) == sorted(NAMES)


@each_name
def test_the_text_is_what_the_compiler_makes_of_the_sources(name: str) -> None:
    compiler = nvcc()
    assert release_of(compiler) == COMPILER
    assert generate(name, compiler) == (PTX / f"{name}.ptx").read_text(encoding="ascii")


@each_name
def test_each_kernel_takes_its_arguments_in_the_one_order(name: str) -> None:
    text = (PTX / f"{name}.ptx").read_text(encoding="ascii")
    assert text.startswith(f".version {VERSION}\n.target {TARGET}\n")
    entries = re.findall(r"\.entry (\w+)\(\n((?:\.param [^\n]*\n)+)\)\n\.maxntid 128", text)
    assert sorted(kernel for kernel, _ in entries) == kernels_of(name)
    expected = ARGUMENTS[re.sub(r"_[23]d_\w+", "", name)]
    for _, parameters in entries:
        assert re.findall(r"\.param \.(\w+) p\d+", parameters) == expected
    assert "%SPL" not in text, "local memory"
    assert ".extern" not in text


def test_no_lower_version_of_ptx_would_do(tmp_path: Path) -> None:
    text = (PTX / f"{NAMES[0]}.ptx").read_text(encoding="ascii")
    older = tmp_path / "older.ptx"
    older.write_text(text.replace(f".version {VERSION}", ".version 6.2"), encoding="ascii")
    with pytest.raises(RuntimeError, match="does not support .target sm_75"):
        resources_of(ptxas("cuda-13.0"), older, 75)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_assembles_and_needs_what_is_recorded(architecture: int) -> None:
    table, found = recorded(), assembled("cuda-13.0", architecture)
    needed = {kernel: (needs.registers, needs.shared) for kernel, needs in found.items()}
    wanted = {kernel: table[kernel, architecture] for kernel in found}
    assert needed == wanted, "if this is as it should be, record it: python tests/kernel_resources.py"


@pytest.mark.parametrize("architecture", GENERATIONS)
def test_every_kernel_assembles_by_cuda_12_too(architecture: int) -> None:
    assembled("cuda-12.9", architecture)


def assembled(toolkit: str, architecture: int) -> dict[str, Resources]:
    """Every kernel, none of which may use local memory."""
    program = ptxas(toolkit)
    found = {
        kernel: needs
        for name in NAMES
        for kernel, needs in resources_of(program, PTX / f"{name}.ptx", architecture).items()
    }
    assert sorted(found) == sorted(kernel for name in NAMES for kernel in kernels_of(name))
    assert {kernel: needs.stack for kernel, needs in found.items() if needs.stack} == {}, "local memory"
    return found


@pytest.mark.parametrize(("axes", "mode"), KINDS)
def test_the_compiler_of_cuda_12_takes_the_sources_as_well(axes: int, mode: str, tmp_path: Path) -> None:
    program = ptxas("cuda-12.9")
    for operation in ARGUMENTS:
        written = tmp_path / f"{operation}.ptx"
        written.write_bytes(compile_ptx(operation, axes, mode))
        found = resources_of(program, written, 90)
        assert sorted(found) == kernels_of(f"{operation}_{axes}d_{mode}")
        assert {kernel: needs.stack for kernel, needs in found.items() if needs.stack} == {}


def test_the_compiler_of_cuda_12_takes_the_readable_kernels() -> None:
    for axes, mode in ((2, "cubic"), (3, "linear")):
        assert compile_ptx("reference", axes, mode).count(b".entry") == 18


def test_a_text_that_spills_would_be_seen(tmp_path: Path) -> None:
    # Too few registers for what is kept: ptxas has to put some of it into local memory.
    text = (PTX / "grid_sample_2d_cubic.ptx").read_text(encoding="ascii")
    small = tmp_path / "small.ptx"
    small.write_text(re.sub(r"\.minnctapersm \d+", ".minnctapersm 16", text), encoding="ascii")
    found = resources_of(ptxas("cuda-13.0"), small, 90)
    assert max(needs.stack for needs in found.values()) > 0
