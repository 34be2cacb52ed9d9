"""A GPU engine gives what the full graph gives of each image alone, in whatever list, order and time.

The GPU is a stand-in as lazy as CUDA allows, behind which the shipped model runs in ONNX Runtime on the CPU.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stn_deploy.artifact import read_artifact
from stn_deploy.errors import ClosedError, EngineError, ShapeError
from stn_deploy.runtime import DEFAULT_MODEL, pack_canvas
from stn_deploy.runtime.canvas import pack_into
from stn_deploy.runtime.engines import staging
from stn_deploy.runtime.engines.gpu import GpuRectifierEngine
from stn_deploy.runtime.engines.ort import OrtFullGraph
from stn_deploy.runtime.engines.ort_device import OrtDeviceGraph
from stn_deploy.runtime.engines.trt_device import TrtBound
from tests.gpu_engines import KINDS, Bench, expect, expected_of, pictures

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@each_kind
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_ragged_lists_give_what_the_full_graph_gives_of_each_image(
    monkeypatch: pytest.MonkeyPatch, kind: str, seed: int | None
) -> None:
    bench = Bench(monkeypatch, seed=seed)
    images = pictures(26, seed=seed or 0)
    expected = expected_of(images)
    with bench.engine(kind) as engine:
        expect(engine.straighten(images), expected)
        order = np.random.default_rng(5).permutation(len(images))
        for _ in range(3):  # eager, captured, replayed
            found = engine.straighten([images[place] for place in order])
            expect(found, [expected[place] for place in order])
            assert found.sampled.all()
            small = engine.straighten(images[3:4], rectified=False)
            expect(small, expected[3:4])
            assert small.rectified is None
    assert bench.cuda.live == {}


@each_kind
def test_no_images_give_no_results(bench: Bench, kind: str) -> None:
    with bench.engine(kind) as engine:
        found = engine.straighten([])
    assert found.rectified is not None
    assert found.rectified.shape == (0, 3, 32, 100)
    assert found.localisation.theta.shape == (0, 20, 2)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_images_that_are_too_large_are_found_by_area_and_left_to_be_sampled(bench: Bench, kind: str) -> None:
    small, *fits = pictures(3, seed=4)
    large = small.repeat(3, axis=0).repeat(
        3, axis=1
    )  # three times as large; the mean of blocks is the small one
    with bench.engine(kind) as engine:
        found = engine.straighten([fits[0], large, fits[1]])
    assert found.sampled.tolist() == [True, False, True]
    expect(found, expected_of([fits[0], small, fits[1]]))


def test_long_and_flat_images_keep_two_pixels_when_they_are_shrunk() -> None:
    for size, factor, expected in (((2, 3001), 3, (2, 1001)), ((3001, 2), 3, (1001, 2)), ((7, 9), 2, (4, 5))):
        assert staging.shrunk(np.zeros((*size, 3), np.uint8), factor).shape == (*expected, 3)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_what_slots_held_before_does_not_matter(bench: Bench, kind: str) -> None:
    bright = [np.full((96, 256, 3), 255, np.uint8)] * 5
    images = pictures(9, seed=6)
    with bench.engine(kind) as fresh:
        expected = fresh.straighten(images)
    with bench.engine(kind) as used:
        for _ in range(3):
            used.straighten(bright)
        found = used.straighten(images)
    for one, other in zip(
        (*found.localisation, found.rectified), (*expected.localisation, expected.rectified), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_results_of_before_are_not_written_to(bench: Bench, kind: str) -> None:
    images = pictures(8, seed=1)
    with bench.engine(kind) as engine:
        first = engine.straighten(images)
        kept = [values.copy() for values in (*first.localisation, first.rectified) if values is not None]
        engine.straighten(pictures(12, seed=2))
        for before, now in zip(kept, (*first.localisation, first.rectified), strict=True):
            np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_batch_is_packed_and_copied_while_the_one_before_is_computed(
    bench: Bench, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.engine(kind) as engine:
        queued: list[int] = []
        pack = pack_into

        def watched(*arguments: Any) -> None:
            queued.append(len(bench.cuda.streams[engine._stream].queue))
            pack(*arguments)

        monkeypatch.setattr(staging, "pack_into", watched)
        engine.straighten([np.zeros((90, 250, 3), np.uint8)] * 12)
    assert len(queued) > 3
    assert queued[0] == 0
    # The run itself, and the mark behind it: neither is done.
    assert min(queued[1:]) >= 2, "nothing was being computed while the next batch was packed"


def test_a_replayed_graph_gives_what_an_eager_run_gives_bit_by_bit(bench: Bench) -> None:
    images = pictures(10, seed=3)
    with bench.engine("tensorrt") as engine:
        found = [engine.straighten(images) for _ in range(5)]
        assert engine.uncaptured is None
        assert bench.cuda.calls["cudaGraphLaunch"] > bench.cuda.calls["cudaGraphInstantiate"] > 0
        assert bench.cuda.live["graph"] == len(engine._runner.launches)
    for each in found[1:]:
        np.testing.assert_array_equal(each.rectified, found[0].rectified)
        np.testing.assert_array_equal(each.localisation.theta, found[0].localisation.theta)
    assert bench.cuda.live == {}


@pytest.mark.parametrize("call", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_where_capture_is_refused_runs_are_queued_one_by_one_and_it_is_said_once(
    bench: Bench, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    images = pictures(10, seed=3)
    expected = expected_of(images)
    with bench.engine("tensorrt") as engine, caplog.at_level(logging.WARNING):
        bench.cuda.break_call(call)
        for _ in range(4):
            expect(engine.straighten(images), expected)
        assert engine.uncaptured == f"CUDA: {call} failed: cudaErrorUnknown"
        assert bench.cuda.calls["cudaGraphLaunch"] == 0
    assert len(caplog.records) == 1
    assert bench.cuda.live == {}


def test_what_a_library_does_while_it_is_captured_may_spoil_the_graph_but_not_the_result(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures(6, seed=3)
    with bench.engine("tensorrt") as engine:
        enqueue = TrtBound.enqueue

        def allocating(self: TrtBound) -> None:
            if bench.cuda.streams[engine._stream].captured is not None:
                bench.cuda.cudaMalloc(10)
            enqueue(self)

        monkeypatch.setattr(TrtBound, "enqueue", allocating)
        for _ in range(3):
            expect(engine.straighten(images), expected_of(images))
        assert "cudaErrorStreamCaptureInvalidated" in str(engine.uncaptured)
    assert bench.cuda.live == {}


@pytest.mark.parametrize("kind", KINDS[:2])
def test_memory_is_bounded_over_many_batches(bench: Bench, kind: str) -> None:
    rng = np.random.default_rng(0)
    images = pictures(40, seed=9)
    expected = expected_of(images)
    with bench.engine(kind, launches=5, held=2) as engine:
        engine.straighten(images)
        before = {name: bench.cuda.bytes_of(name) for name in ("memory", "pinned memory")}
        assert before["pinned memory"] < 2.2 * (1 << 18) + (1 << 20)
        for round_ in range(60):
            chosen = rng.choice(len(images), rng.integers(1, 7))
            found = engine.straighten([images[place] for place in chosen], rectified=bool(round_ % 2))
            expect(found, [expected[place] for place in chosen])
            assert len(engine._runner.launches) <= 5
            assert bench.cuda.live.get("graph", 0) <= 5
            assert {name: bench.cuda.bytes_of(name) for name in before} == before
            with engine.straighten_on_device(images[:3]):
                pass
            before["memory"] = bench.cuda.bytes_of("memory") if not round_ else before["memory"]
    assert bench.cuda.live == {}


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_size_that_makes_room_for_another_is_let_go_of_after_its_run(bench: Bench, kind: str) -> None:
    images = pictures(14, seed=5)
    expected = expected_of(images)
    with bench.engine(kind, launches=1) as engine:
        for _ in range(2):
            expect(engine.straighten(images), expected)
            expect(engine.straighten([images[0]] * 8), [expected[0]] * 8)  # one size in turn in both slots
        engine.straighten_on_device(images)
    assert bench.cuda.live == {}


@pytest.mark.parametrize("kind", KINDS[:2])
def test_sixteen_threads_share_one_engine(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    bench = Bench(monkeypatch, seed=8)
    images = pictures(20, seed=7)
    expected = expected_of(images)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        try:
            for _ in range(3):
                chosen = rng.permutation(len(images))[: rng.integers(1, 8)]
                found = engine.straighten([images[place] for place in chosen])
                expect(found, [expected[place] for place in chosen])
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    with bench.engine(kind) as engine:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert bench.cuda.live == {}


def test_arrays_that_are_no_images_are_refused_by_number(bench: Bench) -> None:
    good = np.zeros((5, 7, 3), np.uint8)
    with bench.engine("cuda") as engine:
        wrongs: list[Any] = [good[..., :2], good.astype(np.float32), good[0], good[:0]]
        for wrong in wrongs:
            with pytest.raises(ShapeError, match=r"image 1: expected \(h, w, 3\) uint8, got"):
                engine.straighten([good, wrong])
            with pytest.raises(ShapeError, match="image 0"):
                engine.straighten_on_device([wrong])


@each_kind
def test_a_closed_engine_says_so(bench: Bench, kind: str) -> None:
    engine = bench.engine(kind)
    engine.straighten(pictures(2))
    engine.close()
    engine.close()
    assert bench.cuda.live == {}
    with pytest.raises(ClosedError, match="got one that was closed"):
        engine.straighten(pictures(2))
    with pytest.raises(ClosedError, match="got one that was closed"):
        engine.straighten_on_device(pictures(2))


@each_kind
def test_an_engine_that_nobody_holds_gives_its_memory_back(bench: Bench, kind: str) -> None:
    engine = bench.engine(kind)
    engine.straighten(pictures(3))
    batch = engine.straighten_on_device(pictures(3))
    del engine
    assert bench.cuda.live == {"memory": 1}, "of the results that are held"
    del batch
    assert bench.cuda.live == {}


def test_half_precision_comes_back_as_float32_and_stays_half_on_the_gpu(bench: Bench, tmp_path: Path) -> None:
    from stn_deploy.export.passes import float16, rewrite

    path = tmp_path / "half.onnx"
    rewrite(DEFAULT_MODEL, path, float16)
    data, spec = read_artifact(path)
    images = pictures(5, seed=3)
    with GpuRectifierEngine(lambda device, stream: OrtDeviceGraph(data, spec, device, stream)) as engine:
        found = engine.straighten(images)
        batch = engine.straighten_on_device(images)
        assert batch.rectified.dtype == np.float16
        assert batch.theta.dtype == np.float32
    assert found.rectified is not None
    assert found.rectified.dtype == np.float32
    on_cpu = OrtFullGraph(data)
    for index, image in enumerate(images):
        pixels, (theta, _) = on_cpu.run(*pack_canvas([image]))
        assert np.abs(found.rectified[index] - pixels[0]).max() < 0.02  # 1 in 2^10, and what theta moves
        assert np.abs(found.localisation.theta[index] - theta[0]).max() < 0.01


def test_a_fork_is_told_and_leaves_the_gpu_alone(bench: Bench) -> None:
    engine = bench.engine("tensorrt")
    engine.straighten(pictures(2))
    calls = bench.cuda.calls.total()
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(ClosedError, match="got a fork of it"):
                engine.straighten(pictures(2))
            engine.close()
            os._exit(0 if bench.cuda.calls.total() == calls else 1)
        except BaseException:  # noqa: BLE001, whatever it is, pytest must not go on twice
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    engine.close()
    assert bench.cuda.live == {}


def test_the_gpu_of_the_caller_stays_what_it_was(bench: Bench) -> None:
    bench.cuda.count = 2
    with bench.engine("tensorrt", gpu=1) as engine:
        engine.straighten(pictures(3))
        assert bench.cuda.device == 0
    assert bench.cuda.used == {1}


def test_an_interrupt_leaves_nothing_behind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(12, seed=2)
    expected = expected_of(images)
    with bench.engine("cuda") as engine:
        fill = staging.Slot.fill
        count = 0

        def interrupted(*arguments: Any) -> None:
            nonlocal count
            count += 1
            if count == 3:
                raise KeyboardInterrupt
            fill(*arguments)

        monkeypatch.setattr(staging.Slot, "fill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.straighten(images)
        assert not any(stream.queue for stream in bench.cuda.streams.values())
        expect(engine.straighten(images), expected)


def test_a_run_that_the_library_refuses_is_told_and_the_next_call_is_right(bench: Bench) -> None:
    images = pictures(12, seed=2)
    with bench.engine("cuda") as engine:
        engine.straighten(images)
        bench.ort.breaks = 1
        with pytest.raises(EngineError, match="the run failed: CUDA failure 700"):
            engine.straighten(images)
        expect(engine.straighten(images), expected_of(images))
    assert bench.cuda.live == {}
