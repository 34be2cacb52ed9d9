"""What a kernel gives must not depend on who runs first, nor may it touch what is not its own.

On a GPU compute-sanitizer says so; here the emulation does, and is shown to notice.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.emulation import FORWARD, REVERSE, ROOT, compiled, run_kernel
from tests.kernel_cases import each_mode, images, transform
from tests.kernels import Transform, Way, gradients, pointer, sample
from tests.tolerances import GRADIENT, SAMPLE

ORDERS = [FORWARD, REVERSE, 5, 6, 7]
FEW_AND_MANY = [5, 39]
"""Control points: kept in registers, and through shared memory, eight at a time. The last time there are
seven, so that what is written too early is seen by all who still read."""

FAULTS = """
#include "platform.cuh"

#define KERNEL(name) extern "C" __global__ void name

// Reads what its neighbour writes, without waiting for it.
KERNEL(racing)(float* output) {
    __shared__ float shared[64];
    shared[threadIdx.x] = static_cast<float>(threadIdx.x);
    output[threadIdx.x] = shared[threadIdx.x ^ 1];
}
STN_REGISTER(racing)

KERNEL(waiting)(float* output) {
    __shared__ float shared[64];
    shared[threadIdx.x] = static_cast<float>(threadIdx.x);
    __syncthreads();
    output[threadIdx.x] = shared[threadIdx.x ^ 63];
}
STN_REGISTER(waiting)

// Reads what nobody has written.
KERNEL(hoping)(float* output) {
    STN_SHARED(float, shared);
    if (blockIdx.x == 0) shared = 1.f;
    __syncthreads();
    output[threadIdx.x] = shared;
}
STN_REGISTER(hoping)

KERNEL(shuffling)(float* output) {
    float value = static_cast<float>(threadIdx.x);
    for (int bits = 1; bits < 32; bits *= 2) value += __shfl_xor_sync(0xffffffffu, value, bits);
    __syncwarp();
    output[threadIdx.x] = value;
}
STN_REGISTER(shuffling)

// Half of the threads leave out a barrier.
KERNEL(hanging)(float* output) {
    if (threadIdx.x < 32) __syncthreads();
    output[threadIdx.x] = 1.f;
}
STN_REGISTER(hanging)

// Takes two numbers at once from where no pair begins.
KERNEL(skewed)(float* output) {
    output[threadIdx.x] = __ldg(reinterpret_cast<const float2*>(output + 1)).x;
}
STN_REGISTER(skewed)

KERNEL(overrunning)(float* output) {
    output[threadIdx.x + 1] = 1.f;
}
STN_REGISTER(overrunning)
"""


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("faults") / "faults.cu"
    source.write_text(FAULTS)
    return compiled(f"faults-{os.getpid()}", source)


def run(library: Path, name: str, order: int = FORWARD) -> np.ndarray:
    output = np.zeros(64, np.float32)
    run_kernel(library, name, 1, 64, [pointer(output)], order=order)
    return output


def test_the_emulation_shows_a_race(faults: Path) -> None:
    found = [run(faults, "racing", order) for order in (FORWARD, REVERSE)]
    assert (found[0] != found[1]).any()


def test_the_emulation_waits_where_threads_wait(faults: Path) -> None:
    for order in ORDERS:
        np.testing.assert_array_equal(run(faults, "waiting", order), np.arange(64)[::-1])
        sums = np.repeat([np.arange(32).sum(), np.arange(32, 64).sum()], 32)
        np.testing.assert_array_equal(run(faults, "shuffling", order), sums)


def test_shared_memory_that_was_not_written_is_no_number(faults: Path) -> None:
    output = np.zeros(64, np.float32)
    run_kernel(faults, "hoping", 2, 64, [pointer(output)])
    assert np.isnan(output).all()


def test_the_emulation_tells_who_waits_in_vain(faults: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"hanging: threads wait for one another in vain: 0 at .*faults.cu:\d+"
    ):
        run(faults, "hanging")


def test_the_emulation_tells_of_a_read_that_is_not_aligned(faults: Path) -> None:
    with pytest.raises(RuntimeError, match="skewed: thread 0 of block 0 reads 8 bytes at an address"):
        run(faults, "skewed")
    run(faults, "waiting")  # the next launch is not to blame


def test_an_unknown_kernel_and_a_launch_that_no_gpu_takes_are_refused(faults: Path) -> None:
    with pytest.raises(RuntimeError, match="no kernel is called nobody"):
        run(faults, "nobody")
    with pytest.raises(RuntimeError, match="a launch of 1 x 2048"):
        run_kernel(faults, "waiting", 1, 2048, [ctypes.c_void_p(None)])


@each_mode
@pytest.mark.parametrize("k", FEW_AND_MANY)
@pytest.mark.parametrize("channels_last", [False, True])
def test_samples_do_not_depend_on_who_runs_first(axes: int, mode: str, k: int, channels_last: bool) -> None:
    source, extents = images(axes, 40, n=5)
    made = transform(axes, 5, p=140, k=k, homogeneous=True)
    points = Transform(made.basis, made.theta, extents)
    way = Way(axes, mode, channels_last=channels_last)
    first = sample(way, source, points)
    # 2 tiles x 2 groups of channels: one set of blocks for all images, sets that do not divide them, and more
    for order, blocks in zip(ORDERS, (4, 8, 12, 23, 100), strict=True):
        np.testing.assert_array_equal(sample(way, source, points, blocks=blocks, order=order), first)


@each_mode
@pytest.mark.parametrize("k", FEW_AND_MANY)
def test_gradients_depend_on_who_runs_first_by_no_more_than_rounding(axes: int, mode: str, k: int) -> None:
    source, extents = images(axes, 33, n=3)
    source = np.nan_to_num(source, nan=0.5)
    made = transform(axes, 3, p=140, k=k, homogeneous=True)
    change = np.random.default_rng(0).normal(size=(3, 33, 140)).astype(np.float32)
    points = Transform(made.basis, made.theta, extents)
    first = gradients(Way(axes, mode), source, points, change)
    for order, blocks in zip(ORDERS[1:], (4, 8, 12, 23), strict=True):
        found = gradients(Way(axes, mode), source, points, change, blocks=blocks, order=order)
        for ours, theirs in zip(found, first, strict=True):
            assert ours is not None
            assert theirs is not None
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=GRADIENT * np.abs(theirs).max())


@each_mode
def test_neither_samples_of_a_grid_nor_its_gradients_depend_on_who_runs_first(axes: int, mode: str) -> None:
    source = np.nan_to_num(images(axes, 40, n=5)[0], nan=0.5)
    grid = transform(axes, 5, p=140).points(axes).astype(np.float32)
    change = np.random.default_rng(0).normal(size=(5, 40, 140)).astype(np.float32)
    first, wanted = sample(Way(axes, mode), source, grid), gradients(Way(axes, mode), source, grid, change)
    for order, blocks in ((REVERSE, 4), (5, 11)):
        for channels_last in (False, True):
            way = Way(axes, mode, channels_last=channels_last)
            found = sample(way, source, grid, blocks=blocks, order=order)
            np.testing.assert_allclose(found, first, rtol=0, atol=SAMPLE)
        changes = gradients(Way(axes, mode), source, grid, change, blocks=blocks, order=order)
        for ours, theirs in zip(changes, wanted, strict=True):
            assert ours is not None
            assert theirs is not None
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=GRADIENT * np.abs(theirs).max())


@pytest.mark.slow
def test_no_access_to_memory_is_out_of_place(faults: Path) -> None:
    report = sanitized("tests/kernel_memory.py")
    assert report.returncode == 0, report.stderr[-3000:]
    assert report.stdout.split()[-1] == "clean"


def test_an_access_that_is_out_of_place_would_be_seen(tmp_path: Path) -> None:
    source = tmp_path / "faults.cu"
    source.write_text(FAULTS)
    library = compiled(f"faults-{os.getpid()}", source, sanitized=True)
    script = (
        "import numpy; from pathlib import Path; from tests.parity.test_kernel_threads import run; "
        f"run(Path({str(library)!r}), 'overrunning')"
    )
    report = sanitized("-c", script)
    assert report.returncode != 0
    assert "heap-buffer-overflow" in report.stderr


def sanitized(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python so that every access to memory by the emulated kernels is looked at."""
    found = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False
    )
    if not Path(found.stdout.strip()).is_absolute():
        pytest.skip("needs the address sanitizer's library, libasan, which comes with g++")
    # Python itself frees little at its end, and some of what it loads is not known to the sanitizer.
    settings = {"ASAN_OPTIONS": "detect_leaks=0", "STN_SANITIZED": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **settings, "LD_PRELOAD": found.stdout.strip(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
