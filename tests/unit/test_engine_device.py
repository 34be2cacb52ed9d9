"""NVIDIA's cuda-bindings take the calls that are made of them; without a GPU each says so, in our words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stn_deploy.runtime.engines.device import has_driver
from tests.engines.install import folder_of

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import numpy as np
from cuda.bindings import runtime
from stn_deploy.errors import EngineError
from stn_deploy.runtime.engines.device import Device, find_gpu

device = Device.__new__(Device)  # CUDA would not start
device._cuda, device._held, device.index = runtime, {("stream", 5): 1, ("event", 6): 1}, 0
values = np.zeros(4)
CALLS = {
    "cudaGetDeviceCount": find_gpu,
    "cudaSetDevice": lambda: device.current().__enter__(),
    "cudaMalloc": lambda: device.memory(10),
    "cudaHostAlloc": lambda: device.pinned(10),
    "cudaStreamCreateWithFlags": device.stream,
    "cudaEventCreateWithFlags": device.event,
    "cudaStreamDestroy": lambda: device.free("stream", 5),
    "cudaEventDestroy": lambda: device.free("event", 6),
    "cudaEventRecord": lambda: device.record(6, 5),
    "cudaStreamWaitEvent": lambda: device.order(5, 6),
    "cudaEventSynchronize": lambda: device.wait(6),
    "cudaStreamSynchronize": lambda: device.wait_stream(5),
    "cudaDeviceSynchronize": device.wait_all,
    "cudaEventElapsedTime": lambda: device.milliseconds(6, 6),
    "cudaMemcpyAsync": lambda: (device.upload(4096, values, 5)),
    "cudaMemcpyAsync ": lambda: (device.download(values, 4096, 5)),
    "cudaMemcpyAsync  ": lambda: (device.copy(4096, 8192, 10, 5)),
    "cudaStreamBeginCapture": lambda: device.capture(5, lambda: None),
    "cudaGraphLaunch": lambda: device.launch(7, 5),
    "cudaGraphInstantiate": lambda: device._call("cudaGraphInstantiate", 7, 0),
    "cudaGraphExecDestroy": lambda: device._call("cudaGraphExecDestroy", 7),
    "cudaFreeHost": lambda: device._call("cudaFreeHost", 4096),
    "cudaFree": lambda: device._call("cudaFree", 4096),
}
for name, call in CALLS.items():
    try:
        call()
    except EngineError as error:
        assert f"{name.strip()} failed: CUDA driver version is insufficient" in str(error), error
    else:
        raise AssertionError(f"{name} found a GPU")
device._forget(7)
runtime.cudaStreamEndCapture(5)
device.close()
assert device._held == {}
print("all were taken")
"""


@pytest.mark.skipif(has_driver(), reason="says what happens where there is no GPU; here is one")
def test_cuda_bindings_take_each_call_with_plain_numbers() -> None:
    folder = folder_of("cuda-bindings")
    if folder is None:
        pytest.skip("needs cuda-bindings: make engines installs it")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "all were taken\n", done.stderr
