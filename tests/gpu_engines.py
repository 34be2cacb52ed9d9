"""Engines of a GPU that is none: the shipped model behind fakes of TensorRT and of ONNX Runtime's CUDA."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stn_deploy.artifact import EngineRecord, Profile, RectifierSpec, read_artifact
from stn_deploy.runtime import DEFAULT_MODEL, pack_canvas
from stn_deploy.runtime.engines import DeviceGraph, Straightened
from stn_deploy.runtime.engines.buckets import Buckets
from stn_deploy.runtime.engines.device import Device
from stn_deploy.runtime.engines.engine_file import EngineFile
from stn_deploy.runtime.engines.gpu import GpuRectifierEngine
from stn_deploy.runtime.engines.ort import OrtFullGraph
from stn_deploy.runtime.engines.ort_device import OrtDeviceGraph
from stn_deploy.runtime.engines.trt_device import TrtDeviceGraph
from tests.fake_cuda import install_cuda
from tests.fake_engine_library import FakeTensorRT, install_library
from tests.fake_ort_gpu import FakeOrtGpu, install_ort
from tests.lazy_cuda import LazyCuda
from tests.pictures import Image
from tests.tolerances import PIXEL_TWO_ENGINES, SCORE, THETA

KINDS = ("tensorrt", "cuda", "cuda before 1.18")
PROFILE = Profile(batch=(1, 4, 4), canvas=((16, 32), (48, 96), (96, 256)))
ROOM = 1 << 18


@cache
def shipped() -> tuple[bytes, RectifierSpec]:
    return read_artifact(DEFAULT_MODEL)


@cache
def _on_cpu() -> OrtFullGraph:
    return OrtFullGraph(shipped()[0])


def record(**changes: Any) -> EngineRecord:
    """What stands beside the fake engine of the shipped model."""
    values: dict[str, Any] = {
        "backend": "tensorrt",
        "version": "10.13.3.9",
        "gpu": "Fake RTX",
        "compute_capabilities": ("8.6",),
        "hardware_compatible": False,
        "version_compatible": False,
        "precision": "float32",
        "profile": PROFILE,
        "workspace": None,
        "plugin": None,
        "model": DEFAULT_MODEL.name,
        "spec": shipped()[1],
        "sha256": hashlib.sha256(plan()).hexdigest(),
        "size": len(plan()),
        "layers": (),
        "stn_deploy": "0.1.0",
    }
    return EngineRecord(**(values | changes))


@cache
def plan() -> bytes:
    """A built engine, as the fake library reads it."""
    return pickle.dumps(("10.13.3.9", shipped()[0]))


class Bench:
    """A fake GPU, and engines on it.

    cuda: its runtime. ort, trt: what stands for the libraries.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, seed: int | None = None) -> None:
        self.cuda: LazyCuda = LazyCuda(seed=seed)
        install_cuda(monkeypatch, self.cuda)
        self.trt = install_library(monkeypatch, FakeTensorRT(cuda=self.cuda))
        self.ort: FakeOrtGpu = install_ort(monkeypatch, self.cuda)

    def engine(self, kind: str, **settings: Any) -> GpuRectifierEngine:
        data, spec = shipped()
        self.ort.honours_stream = kind != "cuda before 1.18"

        def load(device: Device, stream: int) -> DeviceGraph:
            if kind == "tensorrt":
                file = EngineFile(path=Path("x.engine"), data=plan(), record=record())
                return TrtDeviceGraph(file, device, stream, room=ROOM)
            buckets = Buckets.of_profile(PROFILE, room=ROOM)
            return OrtDeviceGraph(data, spec, device, stream, buckets=buckets)

        return GpuRectifierEngine(load, **settings)


def pictures(count: int, seed: int = 0) -> list[Image]:
    """Smooth pictures of many sizes that fit the largest canvas, and some at its edges."""
    rng = np.random.default_rng(seed)
    sizes = [(96, 256), (2, 2), (96, 2), (2, 256), (48, 96), (47, 97)]
    heights, widths = rng.integers(2, 97, count), rng.integers(2, 257, count)
    sizes += list(zip(heights.tolist(), widths.tolist(), strict=True))
    found = []
    for height, width in sizes[:count]:
        rows, columns = np.mgrid[0:height, 0:width]
        waves = rng.uniform(0.02, 0.2, (3, 2))
        picture = [128 + 120 * np.sin(a * rows + b * columns + rng.uniform(0, 6)) for a, b in waves]
        found.append(np.stack(picture, axis=-1).astype(np.uint8))
    return found


Expected = list[tuple[NDArray[np.float32], NDArray[np.float32], float]]


def expected_of(images: Sequence[Image]) -> Expected:
    """rectified, theta and score of each image, alone on its canvas, on the CPU."""
    found: Expected = []
    for image in images:
        rectified, (theta, score) = _on_cpu().run(*pack_canvas([image]))
        found.append((rectified[0], theta[0], float(score[0])))
    return found


def expect(found: Straightened, expected: Expected) -> None:
    """The same results, within what two engines may differ."""
    theta, score = found.localisation
    assert len(theta) == len(score) == len(found.sampled) == len(expected)
    assert theta.dtype == score.dtype == np.float32
    std = shipped()[1].std
    for index, (pixels, points, sure) in enumerate(expected):
        assert np.abs(theta[index] - points).max() <= THETA, index
        assert abs(score[index] - sure) <= SCORE, index
        if found.rectified is not None:
            assert np.abs(found.rectified[index] - pixels).max() * std <= PIXEL_TWO_ENGINES, index
