"""The benchmark of the runtime: who is measured takes turns, goals are held against the right figures."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    "float32": "stn-deploy float32, 32x100, all straightened",
    "int8": "stn-deploy int8, 32x100, all straightened",
}


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, Any]]:
    """The neighbours of the script, by name; they go again, for they are no package."""
    pytest.importorskip("torch", reason="its rivals run in torch")
    names = ("_turns", "_decoded", "_waits", "_quality", "_share", "_runtime_page")
    before = set(sys.modules)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
        for name in set(sys.modules) - before:
            if name.startswith("_") and str(ROOT / "benchmarks") in str(
                getattr(sys.modules[name], "__file__", "")
            ):
                del sys.modules[name]


def spread(value: float) -> dict[str, float]:
    return {"median": value, "p10": value, "p90": value, "runs": 3}


def decoded(rates: dict[str, float]) -> dict[str, Any]:
    """A result of 1 thread: rates of ours, and of others that are all known."""
    others = {
        f"{name}, {how}": rate
        for name, rate in (("ASTER", 1000.0), ("TRBA", 250.0))
        for how in ("torch eager", "torch eager, channels last", "ONNX Runtime")
    }
    return {
        "images_per_second": {name: spread(rate) for name, rate in (rates | others).items()},
        "times_as_fast_as": {
            name: {rival: spread(rate / other) for rival, other in others.items()}
            for name, rate in rates.items()
        },
    }


def test_turns_go_round_and_the_first_does_not_count(modules: dict[str, Any]) -> None:
    done: list[tuple[str, int]] = []

    def work(name: str, rate: float) -> Any:
        def do(number: int) -> float:
            done.append((name, number))
            return rate + number

        return do

    works = {"a": work("a", 10), "b": work("b", 20)}
    found = modules["_turns"].rates(works, 6.0, clock=lambda: float(len(done)))
    assert found == {"a": [10, 11, 12], "b": [20, 21, 22]}
    assert done == [(name, number) for number in range(-1, 3) for name in "ab"]


def test_rounds_end_with_their_time_but_are_never_few(modules: dict[str, Any]) -> None:
    turns = modules["_turns"]
    for seconds, rounds in ((0.0, turns.FEWEST), (7.5, 8), (1e9, turns.MOST)):
        passed = [0.0]

        def work(number: int, passed: list[float] = passed) -> float:
            passed[0] += number >= 0
            return 1.0

        assert turns.rates({"a": work}, seconds, clock=lambda passed=passed: passed[0]) == {
            "a": [1.0] * rounds
        }


def test_a_turn_takes_other_batches_each_time(modules: dict[str, Any]) -> None:
    seen: list[list[int]] = []
    batches = [[index] for index in range(7)]
    turn = modules["_turns"].turn(
        lambda chosen: seen.append([each for batch in chosen for each in batch]), batches, 3
    )
    for number in range(2):
        assert turn(number) > 0
    assert seen == [[6], [0, 1, 2], [2], [3, 4, 5]]


def test_the_faster_precision_is_held_against_the_goals(modules: dict[str, Any]) -> None:
    result = decoded({OURS["float32"]: 9_000.0, OURS["int8"]: 16_000.0})
    rate, aster, aster_exported, trba = modules["_decoded"].decoded_goals(result)
    assert rate.reached
    assert rate.remark == OURS["int8"]
    assert (aster.reached, aster.found) == (True, "16.0 times")
    assert aster_exported.reached
    assert (trba.reached, trba.found) == (True, "64.0 times")
    slower = modules["_decoded"].decoded_goals(decoded({OURS["float32"]: 6_999.0}))
    assert [goal.reached for goal in slower] == [False] * 4


def test_waits_memory_share_and_quality_are_held_against_their_limits(modules: dict[str, Any]) -> None:
    waits = modules["_waits"]
    gated = {"stn-deploy float32, natural width, gated as shipped": {"p50": 0.39, "p99": 1.01}}
    assert [goal.reached for goal in waits.one_image_goals(gated)] == [True, False]
    assert waits.first_result_goal({**spread(0.5), "torch_loaded": False}).reached is False
    flat, rising = {"peak": 199.0, "growth": 5.0}, {"peak": 150.0, "growth": 5.1}
    goals = waits.memory_goals({"images": 100_000, "arrays": flat, "files": rising})
    assert [goal.reached for goal in goals] == [True, False]
    found = {
        "opencv": "5",
        "32x100, beside the full graph": {"largest": 0.501, "crops": 9},
        "32x100, of reduced images, beside float64": {"largest": 0.9, "crops": 1},
        "natural width, beside float64": {"largest": 0.52, "crops": 10},
        "natural width, of reduced images, beside float64": {"crops": 0},
    }
    assert [goal.reached for goal in modules["_quality"].quality_goals(found)] == [True, False]
    share = modules["_share"]
    name = f"x gated, lists of {share.BATCH}"
    measured = {
        "recogniser": "PP",
        "milliseconds_per_crop": {share.RECOGNISER: 10.0, name: 0.1},
        "share_of_recognition": {name: spread(0.01)},
    }
    assert share.share_goal(measured).reached


def test_memory_that_rises_is_told_from_memory_that_comes_and_goes(modules: dict[str, Any]) -> None:
    growth = modules["_waits"].growth
    marks = range(0, 101, 5)
    uneven = {str(1000 * mark): 150.0 + 20 * (mark % 3) for mark in marks}
    rising = {str(1000 * mark): 120.0 + 0.3 * mark for mark in marks}
    filling = {str(1000 * mark): 150.0 if mark >= 10 else 80.0 for mark in marks}
    assert growth(uneven, 100_000) == 0
    assert growth(rising, 100_000) > modules["_waits"].GROWTH
    assert growth(filling, 100_000) == 0


def test_what_could_not_be_measured_is_neither_reached_nor_missed(modules: dict[str, Any]) -> None:
    for goal in (
        modules["_share"].share_goal({"missing": "rapidocr is not installed"}),
        modules["_decoded"].jpeg_goal({"missing": "no test set"}),
    ):
        assert goal.reached is None
        assert goal.found is None
        assert goal.remark in ("rapidocr is not installed", "no test set")


def test_the_exact_sampler_agrees_with_a_picture_that_is_linear(modules: dict[str, Any]) -> None:
    rows, columns = np.mgrid[:7, :11].astype(float)
    image = np.stack([3 * columns + 5 * rows + shift for shift in (0, 10, 20)], axis=-1)
    x, y = np.array([0.0, 2.25, 9.9, -3.0, 40.0]), np.array([0.0, 3.5, 1.1, 2.0, 99.0])
    inside = 3 * np.clip(x, 0, 10) + 5 * np.clip(y, 0, 6)
    expected = inside[:, None] + np.array([0, 10, 20])
    assert np.allclose(modules["_quality"].bilinear(image, x, y), expected)


def test_the_readme_shows_goals_that_were_missed_or_not_measured(modules: dict[str, Any]) -> None:
    goals = [
        {"work": "rate", "goal": "at least 15", "found": "16", "reached": True, "remark": "stn-deploy int8"},
        {"work": "wait", "goal": "under 1 ms", "found": "2 ms", "reached": False, "remark": "float32"},
        {"work": "share", "goal": "under 2%", "found": None, "reached": None, "remark": "no engine"},
    ]
    rates = {"images_per_second": {"stn-deploy": spread(16_000.0), "rival": spread(900.4)}}
    parity = {"path": "split", "pixels": 0.5, "theta": 1e-6, "theta_pixels": 1e-4}
    kept = {
        "runtime": {
            "machine": "a machine",
            "python": "3",
            "result": {
                "goals": goals,
                "decoded, 1 thread": rates,
                "decoded, 2 threads": {"images_per_second": {"rival": spread(1500.0)}},
                "files, 2 threads": {"missing": "no test set"},
            },
        },
        "footprint": {"result": {"rectify": {"images": 7, "failures": 0, "peak_memory_megabytes": 155.2}}},
        "parity": {"result": {"rendered": [parity, {**parity, "path": "full"}, {**parity, "theta": None}]}},
    }
    lines = modules["_runtime_page"].runtime_section(kept.__getitem__).splitlines()
    assert "| rate | **16** (int8) | at least 15 |" in lines
    assert "| wait | 2 ms, missed (float32) | under 1 ms |" in lines
    assert "| share | not measured: no engine | under 2% |" in lines
    assert "| stn-deploy | 16,000 |  |  |" in lines
    assert "| rival | 900 | 1,500 |  |" in lines


def test_a_part_runs_in_a_process_with_the_threads_that_it_asks_for(
    modules: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.util.spec_from_file_location("_script", ROOT / "benchmarks" / "runtime.py")
    assert script is not None
    assert script.loader is not None
    runtime = importlib.util.module_from_spec(script)
    script.loader.exec_module(runtime)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with runtime.environment(1):
        assert [os.environ[name] for name in runtime.BLAS] == ["1"] * 3
    with runtime.environment(None):
        assert not set(runtime.BLAS) & set(os.environ)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "OPENBLAS_NUM_THREADS" not in os.environ or os.environ["OPENBLAS_NUM_THREADS"] != "1"
