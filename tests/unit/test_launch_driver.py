"""From a planned launch to the driver's call, with a driver that needs no GPU."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from stn_deploy.errors import EngineError
from stn_deploy.plugins.launch import GpuLauncher, Launch, Lengths, Sampling, plan_launch
from stn_deploy.plugins.launch.driver import Driver
from tests.fake_driver import FakeDriver, Seen, compile_driver, run_emulated
from tests.plugin_cases import CASES, close, expected_of, inputs_of

LENGTHS = Lengths(n=2, c=3, depth=1, height=7, width=12, k=5, points=20)
FAR = 0x7F12_0000_0010
"""An address of more than 32 bits, as all are on a GPU."""
CALL = plan_launch("theta_grid_sample", Sampling(), LENGTHS, (FAR, FAR + 16, FAR + 32, 0), (FAR + 48,))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def fake(compiled: Path, tmp_path: Path) -> FakeDriver:
    return FakeDriver(compiled, tmp_path)


def launcher_of(fake: FakeDriver) -> GpuLauncher:
    return GpuLauncher(Driver(str(fake.path)))


def values(seen: Seen) -> list[int]:
    return [argument.value or 0 for argument in seen.arguments]


def test_the_driver_gets_the_planned_arguments(fake: FakeDriver) -> None:
    launcher_of(fake).launch(CALL, 1, FAR + 64)
    (seen,) = fake.seen
    assert seen[:5] == ("theta_grid_sample_2d_linear_f32", 1, CALL.blocks, 128, FAR + 64)
    assert values(seen) == list(CALL.arguments)


def test_what_the_driver_gets_computes_the_operation(fake: FakeDriver) -> None:
    """All the way from arrays to pixels, the launch packed as cuLaunchKernel wants it."""
    fake.work = run_emulated
    case = CASES[-1]
    inputs = inputs_of(case)
    output = np.full((5, 3, *inputs.output_size), np.nan, np.float32)
    n, c, depth, height, width = inputs.source.shape
    arrays = [
        np.ascontiguousarray(each) for each in (inputs.source, inputs.basis, inputs.theta, inputs.extents)
    ]
    sampling = Sampling(3, case.mode, case.padding, case.align_corners, case.homogeneous)
    lengths = Lengths(n, c, depth, height, width, inputs.basis.shape[1], len(inputs.basis))
    addresses = tuple(array.ctypes.data for array in arrays)
    call = plan_launch("theta_grid_sample", sampling, lengths, addresses, (output.ctypes.data,))
    launcher_of(fake).launch(call, 0, 0)
    assert close(output, expected_of(case, inputs))


def test_a_module_is_loaded_once_for_each_gpu(fake: FakeDriver) -> None:
    launcher = launcher_of(fake)
    half = plan_launch("theta_grid_sample", Sampling(element="f16"), LENGTHS, (1, 2, 3, 4), (5,))
    for call, device in ((CALL, 0), (CALL, 0), (half, 0), (CALL, 1), (half, 1)):
        launcher.launch(call, device, 0)
    assert fake.calls.count("cuModuleLoadDataEx") == 2
    assert fake.calls.count("cuModuleGetFunction") == 4
    assert fake.calls.count("cuDevicePrimaryCtxRetain") == 2
    assert [seen.device for seen in fake.seen] == [0, 0, 0, 1, 1]


def test_the_context_of_the_thread_stays_as_it_was(fake: FakeDriver) -> None:
    launcher = launcher_of(fake)
    launcher.launch(CALL, 1, 0)
    assert fake.library.fake_depth() == 0
    fake.library.fake_current(0)
    launcher.launch(CALL, 1, 0)
    assert fake.library.fake_depth() == 1


def test_nothing_is_pushed_where_the_context_is_current(fake: FakeDriver) -> None:
    launcher = launcher_of(fake)
    fake.library.fake_current(0)
    launcher.launch(CALL, 0, 0)
    assert "cuCtxPushCurrent_v2" not in fake.calls


def test_a_context_is_left_where_a_launch_fails(fake: FakeDriver) -> None:
    launcher = launcher_of(fake)
    fake.fail("cuLaunchKernel", 700)
    with pytest.raises(EngineError):
        launcher.launch(CALL, 0, 0)
    fake.fail("cuModuleGetFunction", 700)
    with pytest.raises(EngineError):
        launcher.launch(CALL, 1, 0)
    assert fake.library.fake_depth() == 0


def test_threads_keep_their_arguments_apart(fake: FakeDriver) -> None:
    launcher = launcher_of(fake)
    calls = [
        plan_launch("theta_grid_sample", Sampling(), LENGTHS, (index, index, index, index), (index,))
        for index in range(1, 9)
    ]

    def work(call: Launch) -> None:
        for _ in range(50):
            launcher.launch(call, 0, call.arguments[0])

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fake.seen) == 400
    for seen in fake.seen:
        assert values(seen) == list(calls[seen.stream - 1].arguments)
    assert fake.calls.count("cuModuleLoadDataEx") == 1


def test_a_stream_is_made_to_wait_for_another(fake: FakeDriver) -> None:
    launcher = launcher_of(fake)
    launcher.order(7, 9, 0)
    launcher.order(9, 0, 0)
    ordered = [call for call in fake.calls if call.startswith(("record", "wait"))]
    assert ordered == ["record 7", "wait 9", "record 9", "wait 0"]
    assert fake.calls.count("cuEventCreate") == 1
    assert fake.library.fake_depth() == 0


def test_the_gpu_of_an_address_is_asked_for(fake: FakeDriver) -> None:
    assert launcher_of(fake).device_of(0x1234) == 1
    with pytest.raises(EngineError, match="looking for the GPU that holds 0x0 failed"):
        launcher_of(fake).device_of(0)


def test_a_machine_without_a_driver_is_told_so() -> None:
    with pytest.raises(EngineError, match="expected an NVIDIA GPU and its driver, found no libnone.so.1"):
        Driver("libnone.so.1")


def test_a_driver_without_a_gpu_is_told_so(fake: FakeDriver) -> None:
    fake.fail("cuInit", 100)
    with pytest.raises(
        EngineError, match="cuInit failed: CUDA_ERROR_NO_DEVICE: .*; no NVIDIA GPU is visible"
    ):
        launcher_of(fake)


def test_a_forked_process_is_told_so(fake: FakeDriver) -> None:
    fake.fail("cuInit", 3)
    with pytest.raises(EngineError, match="forked .* use the start method spawn"):
        launcher_of(fake)


def test_a_gpu_that_is_not_there_is_refused(fake: FakeDriver) -> None:
    with pytest.raises(EngineError, match="expected GPU 2, found 2 of them"):
        launcher_of(fake).launch(CALL, 2, 0)


def test_a_gpu_older_than_the_kernels_is_refused(fake: FakeDriver) -> None:
    fake.library.fake_device(1, 7, 0)
    with pytest.raises(EngineError, match="GPU 0: expected compute capability 7.5 or newer, got 7.0"):
        launcher_of(fake).launch(CALL, 0, 0)


def test_ptx_newer_than_the_driver_is_refused(fake: FakeDriver, tmp_path: Path) -> None:
    fake.library.fake_version(12040)
    (tmp_path / "theta_grid_sample_2d_linear.ptx").write_text(".version 9.0\n.target sm_75\n")
    launcher = GpuLauncher(Driver(str(fake.path)), tmp_path)
    with pytest.raises(
        EngineError, match="the driver knows CUDA 12.4; the PTX is newer than the driver; update"
    ):
        launcher.launch(CALL, 0, 0)


def test_the_words_of_the_driver_s_compiler_reach_the_user(fake: FakeDriver, tmp_path: Path) -> None:
    (tmp_path / "theta_grid_sample_2d_linear.ptx").write_text("no ptx")
    launcher = GpuLauncher(Driver(str(fake.path)), tmp_path)
    said = (
        r"loading theta_grid_sample_2d_linear.ptx failed: CUDA_ERROR_INVALID_PTX: .*ptxas fatal : no .version"
    )
    with pytest.raises(EngineError, match=said):
        launcher.launch(CALL, 0, 0)


def test_a_kernel_that_its_module_lacks_is_named(fake: FakeDriver, tmp_path: Path) -> None:
    (tmp_path / "theta_grid_sample_2d_linear.ptx").write_text(".version 6.3\n")
    launcher = GpuLauncher(Driver(str(fake.path)), tmp_path)
    with pytest.raises(
        EngineError, match="looking for theta_grid_sample_2d_linear_f32 failed: CUDA_ERROR_NOT_FOUND"
    ):
        launcher.launch(CALL, 0, 0)


def test_a_module_that_is_missing_is_named(fake: FakeDriver, tmp_path: Path) -> None:
    launcher = GpuLauncher(Driver(str(fake.path)), tmp_path)
    with pytest.raises(EngineError, match=r"linear.ptx: cannot be read .* so install that again"):
        launcher.launch(CALL, 0, 0)


def test_a_launch_that_fails_says_what_the_driver_says(fake: FakeDriver) -> None:
    launcher = launcher_of(fake)
    fake.fail("cuLaunchKernel", 700)
    said = "launching theta_grid_sample_2d_linear_f32 with 2 blocks failed: CUDA_ERROR_ILLEGAL_ADDRESS: an"
    with pytest.raises(EngineError, match=f"{said} illegal.*; a kernel before this one"):
        launcher.launch(CALL, 0, 0)


def test_a_stream_that_is_captured_takes_no_first_call(fake: FakeDriver) -> None:
    fake.fail("cuModuleLoadDataEx", 900)
    with pytest.raises(
        EngineError, match="loaded on first use.* while a stream is captured; call it once before"
    ):
        launcher_of(fake).launch(CALL, 0, 0)


def test_a_status_without_a_name_is_told_all_the_same(fake: FakeDriver) -> None:
    fake.fail("cuInit", 12345)
    with pytest.raises(EngineError, match="cuInit failed: unknown error: words of the driver"):
        launcher_of(fake)
