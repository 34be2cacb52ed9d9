"""The runtime's engines on a GPU give what the full graph gives on the CPU, as the artifact promises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from stn_deploy.artifact import read_artifact
from stn_deploy.errors import StnDeployError
from stn_deploy.runtime import DEFAULT_MODEL, pack_canvas
from stn_deploy.runtime.engines.choice import EngineChoice, start_engine
from stn_deploy.runtime.engines.gpu import GpuRectifierEngine
from stn_deploy.runtime.engines.start import start
from tests.pictures import Image, noise, smooth

THETA, PIXEL = 1e-4, 1 / 255
"""The contract of the artifact: normalised units, and a share of the range of pixels."""
SIZES = ((40, 120), (64, 256), (2, 2), (31, 500), (300, 37), (511, 2047), (48, 96), (47, 97), (90, 333))


def images_of(seed: int) -> list[Image]:
    """Pictures of many sizes, and one that fits no canvas."""
    found = [smooth(*size, seed=seed + index) for index, size in enumerate(SIZES * 5)]
    found[7] = noise(33, 77, seed=seed)
    return [*found, smooth(600, 900, seed=seed)]


@pytest.fixture(scope="module", params=["cuda", "tensorrt"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    data, spec = read_artifact(DEFAULT_MODEL)
    try:
        if request.param == "cuda":
            found, _ = start_engine(DEFAULT_MODEL, data, spec, "cuda")
        else:
            from stn_deploy.export.engine import BuildSettings, build_engine

            path = tmp_path_factory.mktemp("engine") / "rectifier.engine"
            build_engine(DEFAULT_MODEL, path, BuildSettings())
            found = start(EngineChoice(kind="tensorrt", reason="tested", file=path), data, spec)
    except (StnDeployError, ImportError) as error:
        pytest.skip(f"needs what the engine {request.param} runs on: {error}")
    assert isinstance(found, GpuRectifierEngine)
    yield found
    found.close()


@pytest.fixture(scope="module")
def on_cpu() -> Any:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, for the full graph on the CPU")
    from stn_deploy.runtime.engines.ort import OrtFullGraph

    return OrtFullGraph(DEFAULT_MODEL.read_bytes())


def expect_contract(on_cpu: Any, images: list[Image], theta: Any, rectified: Any, sampled: Any) -> None:
    for index, image in enumerate(images):
        if not sampled[index]:
            assert max(image.shape[:2]) > 256
            continue
        expected, (points, _) = on_cpu.run(*pack_canvas([image]))
        assert np.abs(theta[index] - points[0]).max() <= THETA, image.shape
        assert np.abs(rectified[index] - expected[0]).max() <= 2 * PIXEL, image.shape  # of a range of 2


def test_ragged_lists_keep_the_contract_again_and_again(engine: GpuRectifierEngine, on_cpu: Any) -> None:
    for seed in (0, 0, 0, 100):  # eager, captured, replayed, other pixels
        images = images_of(seed)
        found = engine.straighten(images)
        assert not found.sampled[-1]
        expect_contract(on_cpu, images, found.localisation.theta, found.rectified, found.sampled)


def test_runs_of_tensorrt_are_captured(engine: GpuRectifierEngine, request: pytest.FixtureRequest) -> None:
    if "tensorrt" not in request.node.name:
        pytest.skip("says nothing of ONNX Runtime, whose runs are not captured")
    for _ in range(3):
        engine.straighten([smooth(40, 120)] * 4)
    assert engine.uncaptured is None


def test_torch_reads_results_where_they_are(engine: GpuRectifierEngine, on_cpu: Any, torch_gpu: str) -> None:
    import torch

    images = images_of(5)
    side = torch.cuda.Stream()
    for stream in (torch.cuda.current_stream(), side):
        with torch.cuda.stream(stream):
            batch = engine.straighten_on_device(images)
            rectified, theta = torch.from_dlpack(batch.rectified), torch.from_dlpack(batch.theta)  # type: ignore[attr-defined]
            assert str(rectified.device).startswith(torch_gpu)
            copies = rectified.clone(), theta.clone()
        sampled = batch.sampled
        del batch, rectified, theta
        for _ in range(4):
            engine.straighten_on_device([smooth(40, 120)] * len(images)).close()
        stream.synchronize()
        expect_contract(on_cpu, images, copies[1].cpu().numpy(), copies[0].cpu().numpy(), sampled)


def test_cupy_reads_results_where_they_are(engine: GpuRectifierEngine, on_cpu: Any, cupy: Any) -> None:
    images = images_of(6)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        batch = engine.straighten_on_device(images)
        found = cupy.asnumpy(cupy.from_dlpack(batch.rectified))
        stream.synchronize()
    theta, _ = batch.localisation()
    expect_contract(on_cpu, images, theta, found, batch.sampled)


def test_threads_share_it_and_memory_stays(engine: GpuRectifierEngine, on_cpu: Any) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            images = images_of(number)[number::3]
            for _ in range(10):
                found = engine.straighten(images)
            expect_contract(on_cpu, images, found.localisation.theta, found.rectified, found.sampled)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    engine.straighten(images_of(0))
    before = {kind: engine._device.held(kind) for kind in ("memory", "pinned memory", "stream", "event")}
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {kind: engine._device.held(kind) for kind in before} == before
