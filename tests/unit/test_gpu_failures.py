"""A call of CUDA that fails, at any time: its name, nothing left behind, and the next call is right."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from stn_deploy.errors import EngineError
from tests.gpu_engines import Bench, expect, expected_of, pictures

IMAGES = pictures(7, seed=21)


def work(bench: Bench) -> None:
    """All that an engine does: eager, captured and replayed runs, results here and there."""
    with bench.engine("tensorrt", launches=7, held=2) as engine:
        for _ in range(3):
            engine.straighten(IMAGES, rectified=False)
            engine.straighten_on_device(IMAGES[:5]).localisation()


def repeat(straighten: Callable[..., Any]) -> None:
    """Call it until all its runs are graphs."""
    for _ in range(4):
        straighten(IMAGES)


@pytest.fixture(scope="module")
def calls() -> Counter[str]:
    """How often each call of CUDA is made by `work`."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        bench = Bench(monkeypatch)
        work(bench)
        assert bench.cuda.live == {}
        return bench.cuda.calls


CALLS = (
    *(
        "cudaGetDevice",
        "cudaMalloc",
        "cudaHostAlloc",
        "cudaStreamCreateWithFlags",
        "cudaEventCreateWithFlags",
    ),
    *("cudaMemcpyAsync", "cudaEventRecord", "cudaStreamWaitEvent", "cudaEventSynchronize"),
    *("cudaStreamSynchronize", "cudaGraphLaunch", "cudaFree"),
)


# When an engine closes, all that can be given back is; and where the GPU is not known, it is set.
AT_THE_END = ("cudaStreamSynchronize", "cudaFree")
WHEN = [(call, share) for call in CALLS for share in (0.0, 1.0 if call in AT_THE_END else 0.4)]
UNHEARD = {("cudaGetDevice", 0.0), ("cudaGetDevice", 0.4), ("cudaStreamSynchronize", 1.0), ("cudaFree", 1.0)}


@pytest.mark.parametrize(("call", "share"), WHEN)
def test_each_call_may_fail_at_any_time(
    monkeypatch: pytest.MonkeyPatch, calls: Counter[str], call: str, share: float
) -> None:
    bench = Bench(monkeypatch)
    bench.cuda.break_call(call, 1 + round(share * (calls[call] - 1)))
    with contextlib.ExitStack() as stack:
        if (call, share) not in UNHEARD:
            stack.enter_context(pytest.raises(EngineError, match=f"CUDA: {call} failed: cudaErrorUnknown"))
        work(bench)
    assert bench.cuda.broken == 1
    # What could not be given back because that call itself failed is lost; nothing else is.
    assert sum(bench.cuda.live.values()) <= (call == "cudaFree")
    with bench.engine("tensorrt") as engine:
        engine.straighten(IMAGES[:1])
    assert sum(bench.cuda.live.values()) <= (call == "cudaFree")


@pytest.mark.parametrize(
    "call",
    ["cudaMemcpyAsync", "cudaEventRecord", "cudaStreamWaitEvent", "cudaEventSynchronize", "cudaGraphLaunch"],
)
def test_an_engine_goes_on_after_a_call_that_failed(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    bench = Bench(monkeypatch, seed=3)
    expected = expected_of(IMAGES)
    with bench.engine("tensorrt", held=1) as engine:
        for _ in range(3):
            expect(engine.straighten(IMAGES), expected)
        held = engine.straighten_on_device(IMAGES[:3])
        for after in (1, 6):
            bench.cuda.break_call(call, after)
            with pytest.raises(EngineError, match=f"CUDA: {call} failed: cudaErrorUnknown"):
                repeat(engine.straighten)
            assert not any(stream.queue for stream in bench.cuda.streams.values())
            expect(engine.straighten(IMAGES), expected)
        held.close()
        bench.cuda.break_call(call, 2)
        with pytest.raises(EngineError, match=call):
            repeat(engine.straighten_on_device)
        assert len(engine.straighten_on_device(IMAGES)) == len(IMAGES)
    assert bench.cuda.live == {}


@pytest.mark.parametrize("kind", ["tensorrt", "cuda"])
def test_a_gpu_without_room_is_named_and_nothing_stays(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    bench = Bench(monkeypatch)
    bench.cuda.room = 100_000
    with pytest.raises(EngineError, match="cuda(Malloc|HostAlloc) failed: cudaErrorMemoryAllocation"):
        bench.engine(kind)
    assert bench.cuda.live == {}
    bench.cuda.room = 1 << 30
    with bench.engine(kind) as engine:
        bench.cuda.room = bench.cuda.bytes_of("memory")
        with pytest.raises(EngineError, match="cudaMalloc failed: cudaErrorMemoryAllocation"):
            engine.straighten_on_device(IMAGES)
        expect(engine.straighten(IMAGES), expected_of(IMAGES))
        bench.cuda.room = 1 << 30
        engine.straighten_on_device(IMAGES)
    assert bench.cuda.live == {}


def test_an_engine_that_tensorrt_refuses_gives_its_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    monkeypatch.setattr(bench.trt, "__version__", "10.13.3.10")
    with pytest.raises(EngineError, match=r"x\.engine: tensorrt refuses it: expecting library version"):
        bench.engine("tensorrt")
    assert bench.cuda.live == {}


def test_a_run_that_tensorrt_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    with bench.engine("tensorrt") as engine:
        engine.straighten(IMAGES)
        for ready in engine._runner.launches._ready.values():
            ready.bound._context.breaks = True  # type: ignore[attr-defined]
        engine._runner.launches.refusal = "a test"
        with pytest.raises(EngineError, match="the engine failed"):
            engine.straighten(IMAGES)
        expect(engine.straighten(IMAGES), expected_of(IMAGES))  # with contexts made anew
    assert bench.cuda.live == {}
