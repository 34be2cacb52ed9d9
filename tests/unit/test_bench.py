"""Candidates take turns on the same images; rates and waits are those of the clock; what fails is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.artifact import read_artifact
from stn_deploy.errors import ArgumentError, EngineError
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier, bench_engines
from stn_deploy.runtime.bench import (
    FEWEST_CALLS,
    ROUNDS,
    Absent,
    Candidate,
    Measured,
    circumstances,
    measure,
    turns_of,
)
from stn_deploy.runtime.bench_engines import Model, open_candidates
from stn_deploy.runtime.bench_images import built_in_crops
from stn_deploy.runtime.engines.choice import EngineChoice

IMAGES = [np.full((20 + index, 50 + 3 * index, 3), index, np.uint8) for index in range(5)]


class Laboratory:
    """Candidates that take a known time of a clock that only they move, and a list of who did what."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[str, list[int]]] = []
        self.closed: list[str] = []

    def clock(self) -> float:
        return self.now

    def candidate(self, name: str, per_image: float, per_call: float = 0.0, fails_at: int = -1) -> Candidate:
        def straighten(images: Sequence[Any]) -> None:
            if sum(each == name for each, _ in self.calls) == fails_at:
                raise EngineError("the GPU fell out of its slot")
            self.calls.append((name, [int(image[0, 0, 0]) for image in images]))
            self.now += per_call + per_image * len(images)

        return Candidate(
            name=name,
            makes="32x100",
            threads=1,
            straighten=straighten,
            close=lambda: self.closed.append(name),
        )


def only_measured(results: Sequence[Measured | Absent]) -> list[Measured]:
    assert all(isinstance(each, Measured) for each in results)
    return [each for each in results if isinstance(each, Measured)]


def test_rates_and_waits_are_those_of_the_clock() -> None:
    here = Laboratory()
    fast, slow = here.candidate("fast", 1e-3, 4e-3), here.candidate("slow", 3e-3)
    results = only_measured(measure([fast, slow], IMAGES, batch=8, seconds=2.0, clock=here.clock))
    assert [each.name for each in results] == ["fast", "slow"]
    for result, per_image, per_call in ((results[0], 1e-3, 4e-3), (results[1], 3e-3, 0.0)):
        rate = 8 / (8 * per_image + per_call)
        assert result.images_per_second == pytest.approx({"median": rate, "p10": rate, "p90": rate})
        wait = 1e3 * (per_image + per_call)
        assert result.milliseconds == pytest.approx({"median": wait, "p90": wait, "p99": wait})
        assert result.calls >= 1.0 / (per_image + per_call)


def test_candidates_take_turns() -> None:
    here = Laboratory()
    three = [here.candidate(name, 1e-3) for name in "abc"]
    measure(three, IMAGES, batch=4, seconds=0.6, clock=here.clock)
    turns = [
        name for index, (name, _) in enumerate(here.calls) if not index or here.calls[index - 1][0] != name
    ]
    assert turns == list("abc") * (ROUNDS + 1)


def test_all_see_the_same_images_in_the_same_order_and_from_the_first_on_again() -> None:
    here = Laboratory()
    measure(
        [here.candidate("a", 1e-3), here.candidate("b", 1e-3)], IMAGES, batch=3, seconds=0.2, clock=here.clock
    )
    seen = {name: [image for each, images in here.calls if each == name for image in images] for name in "ab"}
    assert seen["a"] == seen["b"]
    assert seen["a"] == [index % len(IMAGES) for index in range(len(seen["a"]))]
    assert {len(images) for _, images in here.calls} == {3, 1}


def test_the_first_call_of_a_turn_does_not_count() -> None:
    here = Laboratory()
    times: list[float] = []

    def cold_at_first(images: Sequence[Any]) -> None:
        cold = not times or times[-1] != here.now  # the other one came between
        here.now += 1.0 if cold else 1e-3 * len(images)
        times.append(here.now)

    cold = Candidate(name="cold", makes="", threads=1, straighten=cold_at_first)
    result, _ = only_measured(
        measure([cold, here.candidate("other", 1e-3)], IMAGES, batch=2, seconds=0.2, clock=here.clock)
    )
    assert result.images_per_second["p10"] == pytest.approx(1000)


def test_a_slow_candidate_is_measured_all_the_same() -> None:
    here = Laboratory()
    (result,) = only_measured(
        measure([here.candidate("slow", 7.0)], IMAGES, batch=2, seconds=0.1, clock=here.clock)
    )
    assert result.images_per_second["median"] == pytest.approx(1 / 7)
    assert result.calls == FEWEST_CALLS * ROUNDS


@pytest.mark.parametrize("fails_at", [0, 40])
def test_a_candidate_that_fails_is_named_and_the_others_go_on(fails_at: int) -> None:
    here = Laboratory()
    broken, whole = here.candidate("broken", 1e-3, fails_at=fails_at), here.candidate("whole", 1e-3)
    results = measure([broken, whole], IMAGES, batch=4, seconds=0.2, clock=here.clock)
    assert isinstance(results[0], Absent)
    assert "the GPU fell out of its slot" in results[0].why
    assert isinstance(results[1], Measured)
    assert here.closed == ["broken", "whole"]


def test_candidates_are_closed_when_measuring_is_stopped() -> None:
    here = Laboratory()

    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure([here.candidate("a", 1e-3)], IMAGES, seconds=0.2, clock=here.clock, progress=stop)
    assert here.closed == ["a"]


def test_progress_is_told_as_often_as_was_announced() -> None:
    here = Laboratory()
    told: list[str] = []
    two = [here.candidate("a", 1e-3), here.candidate("b", 1e-3)]
    measure(two, IMAGES, batch=2, seconds=0.1, clock=here.clock, progress=told.append)
    assert len(told) == turns_of(2)


@pytest.mark.parametrize(
    "wrong", [{"images": []}, {"candidates": []}, {"batch": 0}, {"seconds": 0.0}, {"seconds": float("nan")}]
)
def test_what_cannot_be_measured_is_refused(wrong: dict[str, Any]) -> None:
    given = {"candidates": [Laboratory().candidate("a", 1)], "images": IMAGES, **wrong}
    with pytest.raises(ArgumentError, match="expected"):
        measure(given.pop("candidates"), given.pop("images"), **given)


def test_the_engines_of_the_cpu_straighten_the_same_and_those_of_a_missing_gpu_say_why() -> None:
    model = Model.open(DEFAULT_MODEL)
    found = open_candidates(model, threads=[1, 2])
    here = [each for each in found if isinstance(each, Candidate)]
    absent = {each.name: each.why for each in found if isinstance(each, Absent)}
    kinds = {(each.name, each.makes, each.threads) for each in here if each.threads is not None}
    assert kinds >= {
        ("CPU", "32x100", 1),
        ("CPU", "32x100", 2),
        ("CPU, int8", "32x100", 1),
        ("CPU, pipeline", "32x100", 2),
        ("CPU, full graph in ONNX Runtime", "32x100", 1),
        ("CPU, as by default", "natural width, behind the gate", 1),
    }
    assert ("CPU, pipeline", "32x100", 1) not in kinds
    assert len(found) == len({(each.name, getattr(each, "threads", None)) for each in found})
    assert all("expected" in why or "install" in why for why in absent.values())
    crops = built_in_crops(5)
    before = cv2.getNumThreads()
    expected = Rectifier(engine="cpu", size=model.spec.output_size, threshold=0.0)(crops)
    for each in here:
        results: Any = each.straighten(crops)
        if each.name in ("CPU", "CPU, pipeline"):
            for one, other in zip(results, expected, strict=True):
                assert one.applied
                assert np.abs(one.image.astype(int) - other.image).max() <= 1
        each.close()
    assert cv2.getNumThreads() == before


class OnGpu:
    """A rectifier whose engine is a GPU's."""

    def __init__(self, model: Path, *, engine: str, **options: Any) -> None:
        self.asked = (model, engine, options)
        self.closed = False

    def __call__(self, images: Sequence[Any]) -> list[Any]:
        return list(images)

    def close(self) -> None:
        self.closed = True


def test_engines_of_a_gpu_are_measured_where_they_are_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = Model.open(DEFAULT_MODEL)
    whole = Rectifier
    found = {
        "cuda": EngineChoice(kind="cuda", reason="CUDA"),
        "tensorrt": EngineChoice(kind="tensorrt", reason="TensorRT", file=tmp_path / "mine.engine"),
    }

    def rectifier(path: Path, *, engine: str, **options: Any) -> Any:
        return (OnGpu if engine in found else whole)(path, engine=engine, **options)

    monkeypatch.setattr(bench_engines, "choose_engine", lambda path, engine, digest: found[engine])
    monkeypatch.setattr(bench_engines, "Rectifier", rectifier)
    candidates = open_candidates(model, threads=[1])
    on_gpu = [each for each in candidates if isinstance(each, Candidate) and each.threads is None]
    assert [each.name for each in on_gpu] == ["CUDA in ONNX Runtime", "TensorRT, mine.engine"]
    for each, engine in zip(on_gpu, found, strict=True):
        straighten: Any = each.straighten
        options = {"size": model.spec.output_size, "threshold": 0.0}
        assert straighten.asked == (DEFAULT_MODEL, engine, options), "the work of the others"
        each.close()
        assert straighten.closed
    found["tensorrt"] = EngineChoice(kind="tensorrt", reason="in ONNX Runtime", cache=tmp_path)
    last = open_candidates(model, threads=[1])[-1]
    assert isinstance(last, Absent), "it would build for minutes"
    assert "stn-deploy build" in last.why
    (tmp_path / "built.engine").touch()
    assert isinstance(open_candidates(model, threads=[1])[-1], Candidate)


def test_a_built_engine_runs_on_tensorrt_alone(tmp_path: Path) -> None:
    _, spec = read_artifact(DEFAULT_MODEL)
    built = Model(path=tmp_path / "mine.engine", spec=spec, artifact=None)
    found = open_candidates(built, threads=[1, 2])
    assert all(isinstance(each, Absent) for each in found)
    on_cpu = [each.why for each in found if isinstance(each, Absent) and each.name.startswith("CPU")]
    assert on_cpu
    assert all("give the .onnx file" in why for why in on_cpu)


def test_built_in_crops_are_many_sizes_half_of_them_straight_and_the_same_each_time() -> None:
    crops = built_in_crops(64)
    assert len({crop.shape for crop in crops}) > 50
    assert all(crop.dtype == np.uint8 and crop.shape[2] == 3 and crop.std() > 5 for crop in crops)
    applied = [result.applied for result in Rectifier()(crops)]
    assert sum(applied[0::2]) > 20, "turned ones"
    assert sum(applied[1::2]) < 12, "straight ones"
    again, other = built_in_crops(3), built_in_crops(3, seed=1)
    assert all(np.array_equal(one, two) for one, two in zip(again, crops, strict=False))
    assert not any(np.array_equal(one, two) for one, two in zip(again, other, strict=True))


def test_results_and_circumstances_are_json() -> None:
    here = Laboratory()
    results = measure([here.candidate("a", 1e-3)], IMAGES, seconds=0.1, clock=here.clock)
    row, absent = json.loads(
        json.dumps([*(each.as_dict() for each in results), Absent(name="b", why="c").as_dict()])
    )
    assert set(row) == {"name", "makes", "threads", "images_per_second", "milliseconds", "calls"}
    assert absent == {"name": "b", "why": "c"}
    assert {"machine", "versions"} == set(json.loads(json.dumps(circumstances())))
