"""What each kernel needs of a multiprocessor, on each GPU, as ptxas says of the PTX that ships.

The table kernel_resources.tsv beside this file holds it; the tests compare. To record it anew:

    python tests/kernel_resources.py
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from stn_deploy.plugins.kernels.generate_ptx import NAMES, PTX
from tests.engines.install import folder_of

TABLE = Path(__file__).with_suffix(".tsv")
ARCHITECTURES = (75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121)
"""All that CUDA 13.0 knows, from Turing on."""
ASSEMBLERS = {
    "cuda-13.0": "nvidia/cu13/bin/ptxas",
    "cuda-12.9": "nvidia/cuda_nvcc/bin/ptxas",
}
GENERATIONS = (75, 120)
"""The first and the last: enough to see that an older assembler reads the text. For Hopper it assembles what
the older compiler makes of the sources."""


@dataclass(frozen=True)
class Resources:
    """Of one kernel on one GPU. stack: bytes of local memory for each thread, spills included."""

    registers: int
    shared: int
    stack: int


def assembler(toolkit: str) -> Path | None:
    """ptxas of one of `ASSEMBLERS`; None where it is not installed."""
    folder = folder_of(toolkit)
    return folder / ASSEMBLERS[toolkit] if folder else None


def resources_of(ptxas: Path, ptx: Path, architecture: int) -> dict[str, Resources]:
    """What the kernels of a file need, by name.

    Raises:
        RuntimeError: the file does not assemble.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [str(ptxas), f"-arch=sm_{architecture}", "-v", str(ptx), "-o", f"{folder}/kernels.cubin"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{ptx.name} does not assemble for sm_{architecture}:\n{done.stdout}{done.stderr}")
    found = {}
    told = re.split(r"Compiling entry function '(\w+)'", done.stdout + done.stderr)[1:]
    for name, text in zip(told[::2], told[1::2], strict=True):
        numbers = {key: re.search(rf"(\d+) {key}", text) for key in ("registers", "bytes smem")}
        stack = sum(map(int, re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads|lmem)", text)))
        registers, shared = (int(number[1]) if number else 0 for number in numbers.values())
        found[name] = Resources(registers, shared, stack)
    return found


def recorded() -> dict[tuple[str, int], tuple[int, int]]:
    """Registers and bytes of shared memory, by kernel and architecture."""
    with TABLE.open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {
        (row["kernel"], architecture): (int(row[f"sm_{architecture}"]), int(row["shared"]))
        for row in rows
        for architecture in ARCHITECTURES
    }


def main() -> None:
    """Assemble everything for every architecture, and write the table."""
    ptxas = assembler("cuda-13.0")
    if ptxas is None:
        sys.exit("ptxas of CUDA 13.0 is not installed; python tests/engines/install.py installs it")
    jobs = [(name, architecture) for name in NAMES for architecture in ARCHITECTURES]
    with ThreadPoolExecutor() as pool:
        all_found = list(pool.map(lambda job: resources_of(ptxas, PTX / f"{job[0]}.ptx", job[1]), jobs))
    spilled = [
        f"{kernel} uses {needs.stack} bytes of local memory on sm_{architecture}"
        for (_, architecture), found in zip(jobs, all_found, strict=True)
        for kernel, needs in found.items()
        if needs.stack
    ]
    if spilled:
        sys.exit("\n".join([*spilled, "Nothing is recorded."]))
    rows: dict[str, dict[str, int]] = {}
    for (_, architecture), found in zip(jobs, all_found, strict=True):
        for kernel, needs in found.items():
            row = rows.setdefault(kernel, {"shared": needs.shared})
            row[f"sm_{architecture}"] = needs.registers
            row["shared"] = max(row["shared"], needs.shared)
    with TABLE.open("w", encoding="ascii", newline="") as file:
        columns = ["kernel", "shared", *(f"sm_{architecture}" for architecture in ARCHITECTURES)]
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"kernel": kernel, **rows[kernel]} for kernel in sorted(rows))


if __name__ == "__main__":
    main()
