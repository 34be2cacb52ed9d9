"""Time on a GPU: work is captured into a graph, so that no host is timed, and replayed between two events."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from _record import skip

from stn_deploy.errors import EngineError
from stn_deploy.plugins.launch import GpuLauncher, Kernel, Launch, Sampling
from stn_deploy.plugins.launch.driver import Driver
from stn_deploy.plugins.launch.plan import INTERPOLATIONS, kernel_for

Work = Callable[[int], Any]
"""Queues one call on the inputs of a number."""

SOURCE = Path(__file__).resolve().parent.parent / "stn_deploy" / "plugins" / "kernels" / "kernels.cu"
EMPTY = ".version 6.3\n.target sm_75\n.address_size 64\n.visible .entry empty()\n{\nret;\n}\n"
WARM_UP = 3


def need_gpu() -> None:
    """Stop, and say why, where there is no GPU that the kernels run on."""
    try:
        Driver().context(0)
    except EngineError as error:
        skip(f"needs an NVIDIA GPU: {error}")
    if not torch.cuda.is_available():
        skip("needs a build of torch for CUDA; this one is for the CPU")


def described() -> dict[str, Any]:
    """The GPU, and what drives it."""
    found = torch.cuda.get_device_properties(0)
    version = Driver().version
    return {
        "name": found.name,
        "compute_capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "cache_megabytes": found.L2_cache_size / 2**20,
        "driver_cuda": f"{version // 1000}.{version % 1000 // 10}",
        "torch_cuda": torch.version.cuda,
        "driver": _of_smi("driver_version"),
        "clocks": _of_smi("clocks.sm,clocks.mem,power.limit"),
    }


def rotations(size: int) -> int:
    """How many sets of inputs and outputs of so many bytes are four times as large as the cache."""
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    return max(3, min(4000, -(-4 * cache // size)))


def measure(works: Mapping[str, Work], count: int, rounds: int) -> tuple[dict[str, list[float]], list[str]]:
    """Microseconds of a call, of each round, and which works no graph could capture; they take turns.

    Args:
        count: sets of inputs; each replay does all, one after the other.
    """
    replays = {name: _captured(work, count) for name, work in works.items()}
    uncaptured = [name for name, replay in replays.items() if replay.__name__ == "one_by_one"]
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(WARM_UP + rounds):
        for name, replay in replays.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            replay()
            end.record()
            end.synchronize()
            if number >= WARM_UP:
                times[name].append(1e3 * start.elapsed_time(end) / count)
    return times, uncaptured


def host_time(work: Work, *, rounds: int, calls: int = 50) -> list[float]:
    """Microseconds that the host spends on a call whose work it does not wait for."""
    times = []
    for number in range(WARM_UP + rounds):
        torch.cuda.synchronize()
        started = perf_counter()
        for index in range(calls):
            work(index)
        if number >= WARM_UP:
            times.append(1e6 * (perf_counter() - started) / calls)
    return times


class EmptyKernel:
    """What any launch costs: a kernel that does nothing, with as many blocks."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        (Path(self._folder.name) / "empty.ptx").write_text(EMPTY)
        self._launcher = GpuLauncher(Driver(), Path(self._folder.name))
        self._kernel = Kernel("empty", Sampling(), "empty", "empty", "")

    def launch(self, blocks: int) -> None:
        self._launcher.launch(Launch(self._kernel, blocks, ()), 0, torch.cuda.current_stream().cuda_stream)


class ReferenceKernels:
    """The readable kernels, compiled by the nvcc of this machine."""

    def __init__(self) -> None:
        """Compile nothing yet.

        Raises:
            FileNotFoundError: there is no nvcc.
        """
        self._compiler = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
        if self._compiler is None:
            raise FileNotFoundError("no nvcc, which compiles the readable kernels")
        self._folder = tempfile.TemporaryDirectory()
        self._launcher = GpuLauncher(Driver(), Path(self._folder.name))
        self._kernels: dict[Kernel, Kernel] = {}

    def launch(self, call: Launch) -> None:
        """Launch the readable kernel instead of the one that is planned."""
        kernel = self._kernels.get(call.kernel) or self._compiled(call.kernel)
        stream = torch.cuda.current_stream().cuda_stream
        self._launcher.launch(call._replace(kernel=kernel), 0, stream)

    def _compiled(self, kernel: Kernel) -> Kernel:
        axes, interpolation = kernel.sampling.dimensions, INTERPOLATIONS[kernel.sampling.mode]
        path = Path(self._folder.name) / f"reference_{axes}d_{interpolation}.ptx"
        if not path.exists():
            kinds = (f"-DSTN_AXES={axes}", f"-DSTN_INTERPOLATION={interpolation}")
            flags = ("-std=c++17", "-arch=compute_75", "--ptx", "-DSTN_OPERATION=STN_REFERENCE", *kinds)
            subprocess.run([str(self._compiler), *flags, str(SOURCE), "-o", str(path)], check=True)
        found = replace(kernel, name=f"reference_{kernel.name}", module=path.stem)
        self._kernels[kernel_for(kernel.operation, kernel.sampling)] = found
        return found


def _captured(work: Work, count: int) -> Callable[[], None]:
    """All calls as one graph; one after the other where a work cannot be captured."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):  # loads kernels, compiles
        for index in range(WARM_UP):
            work(index % count)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with suppress(RuntimeError):
        with torch.cuda.graph(graph):
            kept = [work(index) for index in range(count)]  # outputs of their own, as inputs are
        del kept
        return graph.replay
    torch.cuda.synchronize()

    def one_by_one() -> None:
        for index in range(count):
            work(index)

    return one_by_one


def _of_smi(what: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
