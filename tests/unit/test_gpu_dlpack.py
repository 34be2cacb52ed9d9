"""Results that stay on the GPU: consumers see the right pixels, and theirs are never written to."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stn_deploy.errors import ClosedError, EngineError
from stn_deploy.plugins.launch.exchange import View, view_of
from stn_deploy.runtime.engines.capsules import capsule_of
from stn_deploy.runtime.engines.device_batch import DeviceBatch
from tests.gpu_engines import KINDS, Bench, Expected, expect, expected_of, pictures, shipped
from tests.lazy_cuda import LEGACY, PER_THREAD
from tests.tolerances import PIXEL_TWO_ENGINES, SCORE, THETA


@pytest.fixture(params=[None, 4])
def bench(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bench:
    return Bench(monkeypatch, seed=request.param)


class Consumer:
    """A library with a stream of its own, on which it reads what it was given."""

    def __init__(self, bench: Bench, stream: int | None = None) -> None:
        self._cuda = bench.cuda
        self.stream = stream or bench.cuda.cudaStreamCreateWithFlags(1)[1]

    def take(self, tensor: Any) -> View:
        return view_of("tensor", tensor, self.stream, None)  # type: ignore[arg-type]

    def read(self, view: View) -> NDArray[np.float32]:
        """The numbers, once the stream has come so far; nothing else is waited for."""
        found = np.full(view.shape, np.nan, np.float32)
        address, view = view.address, None  # type: ignore[assignment]

        def work() -> None:
            found[...] = self._cuda.numbers(address, found.nbytes).view(np.float32).reshape(found.shape)

        self._cuda.streams[self.stream].append(work)
        return found

    def wait(self) -> None:
        self._cuda.streams[self.stream].finish()


def expect_right(bench: Bench, consumer: Consumer, batch: DeviceBatch, expected: Expected) -> None:
    views = [consumer.take(each) for each in (batch.rectified, batch.theta, batch.score)]
    rectified, theta, score = (consumer.read(view) for view in views)
    consumer.wait()
    std = shipped()[1].std
    for index, (pixels, points, sure) in enumerate(expected):
        assert np.abs(rectified[index] - pixels).max() * std <= PIXEL_TWO_ENGINES, index
        assert np.abs(theta[index] - points).max() <= THETA, index
        assert abs(score[index] - sure) <= SCORE, index


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_consumer_that_waits_on_its_own_stream_alone_sees_all_in_order(bench: Bench, kind: str) -> None:
    images = pictures(23, seed=11)
    expected = expected_of(images)
    consumer = Consumer(bench)
    order = np.random.default_rng(1).permutation(len(images))
    with bench.engine(kind) as engine:
        for _ in range(3):
            with engine.straighten_on_device([images[place] for place in order]) as batch:
                assert len(batch) == len(images)
                assert batch.rectified.shape == (23, 3, 32, 100)
                assert batch.sampled.all()
                expect_right(bench, consumer, batch, [expected[place] for place in order])
                theta, score = batch.localisation()
                assert np.abs(theta[0] - expected[order[0]][1]).max() <= THETA
                assert abs(score[-1] - expected[order[-1]][2]) <= SCORE
            # Host results right after share slots with what may still be copied.
            expect(engine.straighten(images[:9]), expected[:9])


def test_what_a_consumer_holds_is_not_written_to_until_it_lets_go(bench: Bench) -> None:
    images = pictures(12, seed=12)
    expected = expected_of(images)
    consumer = Consumer(bench)
    with bench.engine("tensorrt", held=3) as engine:
        held = consumer.take(engine.straighten_on_device(images).rectified)  # nothing but the tensor is kept
        for _ in range(4):
            engine.straighten_on_device(images[::-1])
            engine.straighten(images[::-1])
        found = consumer.read(held)
        consumer.wait()
        for index, (pixels, _, _) in enumerate(expected):
            assert np.abs(found[index] - pixels).max() * shipped()[1].std <= PIXEL_TWO_ENGINES


@pytest.mark.parametrize("stream", [None, LEGACY, PER_THREAD])
def test_memory_that_a_consumers_queue_still_reads_is_not_used_again(
    bench: Bench, stream: int | None
) -> None:
    images = pictures(6, seed=13)
    expected = expected_of(images)
    consumer = Consumer(bench, stream)
    with bench.engine("tensorrt", held=1) as engine:
        found = []
        for _ in range(4):
            view = consumer.take(engine.straighten_on_device(images).rectified)
            found.append(consumer.read(view))
            del view  # on the host it lets go; its stream has not come so far
            found.append(consumer.read(consumer.take(engine.straighten_on_device(images[::-1]).rectified)))
        consumer.wait()
    for number, values in enumerate(found):
        for index, (pixels, _, _) in enumerate(expected[:: -1 if number % 2 else 1]):
            assert np.abs(values[index] - pixels).max() * shipped()[1].std <= PIXEL_TWO_ENGINES


def test_closing_the_engine_leaves_consumers_what_they_hold(bench: Bench) -> None:
    images = pictures(7, seed=14)
    expected = expected_of(images)
    consumer = Consumer(bench)
    engine = bench.engine("cuda")
    batch = engine.straighten_on_device(images)
    taken = consumer.take(batch.score)
    engine.straighten_on_device(images)  # nobody holds this one
    engine.close()
    assert bench.cuda.live.pop("stream") == 1, "the consumer's own"
    assert bench.cuda.live.pop("memory") == 1
    expect_right(bench, consumer, batch, expected)  # taken only now
    with pytest.raises(ClosedError, match="expected its engine to be open"):
        batch.localisation()
    del batch
    gc.collect()
    score = consumer.read(taken)
    consumer.wait()
    assert abs(score[3] - expected[3][2]) <= SCORE
    assert "memory" in bench.cuda.live
    del taken
    gc.collect()
    assert "memory" not in bench.cuda.live


def test_what_comes_back_while_the_engine_closes_is_freed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = bench.engine("cuda")
    held = [engine.straighten_on_device(pictures(3))]
    lend = engine._device.lend

    def meanwhile(address: int) -> None:
        lend(address)
        held.clear()

    monkeypatch.setattr(engine._device, "lend", meanwhile)
    engine.close()
    assert bench.cuda.live == {}


def test_only_so_many_results_are_held(bench: Bench) -> None:
    images = pictures(3)
    with bench.engine("cuda", held=2) as engine:
        held = [engine.straighten_on_device(images) for _ in range(2)]
        with pytest.raises(
            EngineError, match="expected at most 2 batches to be held at a time, got one more"
        ):
            engine.straighten_on_device(images)
        expect(engine.straighten(images), expected_of(images))
        held[0].close()
        engine.straighten_on_device(images)
        with pytest.raises(ClosedError, match="got one that was closed"):
            held[0].rectified.__dlpack__()
        # Another size takes the place of one that nobody holds.
        assert len(engine.straighten_on_device(images * 30)) == 90


def test_a_consumer_says_which_stream_waits(bench: Bench) -> None:
    with bench.engine("cuda") as engine:
        batch = engine.straighten_on_device(pictures(3))
        consumer = Consumer(bench)
        for stream, waits in (
            (None, LEGACY),
            (1, LEGACY),
            (2, PER_THREAD),
            (consumer.stream, consumer.stream),
        ):
            bench.cuda.finish_all()
            bench.cuda._random = None
            batch.theta.__dlpack__(stream=stream)
            queues = {name: len(each.queue) for name, each in bench.cuda.streams.items() if each.queue}
            assert queues == {waits: 1}
        bench.cuda.finish_all()
        batch.theta.__dlpack__(stream=-1)
        assert not any(each.queue for each in bench.cuda.streams.values())
        for wrong in (
            {"stream": 0},
            {"stream": -2},
            {"copy": True},
            {"dl_device": (1, 0)},
            {"dl_device": (2, 1)},
        ):
            with pytest.raises(BufferError, match="theta: .*expected"):
                batch.theta.__dlpack__(**wrong)
        assert batch.theta.__dlpack_device__() == (2, 0)
        batch.theta.__dlpack__(dl_device=(2, 0), copy=False, max_version=(1, 1))


@pytest.mark.parametrize("newest", [None, (0, 8), (1, 0), (1, 3)])
def test_capsules_nobody_takes_give_their_memory_back(bench: Bench, newest: tuple[int, int] | None) -> None:
    engine = bench.engine("cuda")
    capsule = engine.straighten_on_device(pictures(3)).rectified.__dlpack__(max_version=newest)
    assert ("versioned" in repr(capsule)) == (newest is not None and newest[0] == 1)
    engine.close()
    assert "memory" in bench.cuda.live
    del capsule
    assert bench.cuda.live == {}


def test_torch_and_numpy_share_the_memory_and_give_it_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    images = pictures(5, seed=15)
    # The memory is the host's, so they may be told so.
    monkeypatch.setattr(DeviceBatch, "place", (1, 0))
    engine = bench.engine("tensorrt")
    batch = engine.straighten_on_device(images)
    bench.cuda.finish_all()
    arrays = [np.from_dlpack(batch.rectified), torch.from_dlpack(batch.rectified).numpy()]
    theta = torch.from_dlpack(batch.theta)
    engine.close()
    del batch
    gc.collect()
    for index, (pixels, points, _) in enumerate(expected_of(images)):
        for array in arrays:
            assert np.abs(array[index] - pixels).max() * shipped()[1].std <= PIXEL_TWO_ENGINES
        assert np.abs(theta[index].numpy() - points).max() <= THETA
    del array
    for name in ("array", "theta"):
        assert "memory" in bench.cuda.live, name
    arrays.clear()
    del theta
    gc.collect()
    assert bench.cuda.live == {}


def test_consumers_let_go_on_any_thread_while_others_straighten(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, seed=6)
    images = pictures(9, seed=16)
    expected = expected_of(images)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            consumer = Consumer(bench)
            for _ in range(5):
                chosen = np.random.default_rng(number).permutation(len(images))[:4]
                batch = engine.straighten_on_device([images[place] for place in chosen])
                view = consumer.take(batch.theta)
                del batch
                with bench.cuda.lock:  # a stand-in of a GPU does one thing at a time
                    theta = consumer.read(view)
                    consumer.wait()
                del view
                for found, place in zip(theta, chosen, strict=True):
                    assert np.abs(found - expected[place][1]).max() <= THETA
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    with bench.engine("cuda", held=16) as engine:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_batch_of_no_images_is_an_array_of_no_rows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with bench.engine("cuda") as engine:
        batch = engine.straighten_on_device([])
        monkeypatch.setattr(DeviceBatch, "place", (1, 0))
        assert np.from_dlpack(batch.rectified).shape == (0, 3, 32, 100)
        assert batch.localisation().score.shape == (0,)


def test_arrays_of_half_precision_are_described_as_such() -> None:
    values = np.arange(12, dtype=np.float16).reshape(3, 4)

    class Holder:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

        def __dlpack__(self, **_: Any) -> Any:
            return capsule_of(values, values.ctypes.data, (3, 4), values.dtype, (1, 0), versioned=True)

    shared = np.from_dlpack(Holder())
    np.testing.assert_array_equal(shared, values)
    assert np.shares_memory(shared, values)
