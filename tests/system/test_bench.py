"""``stn-deploy bench`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.conftest import SAMPLES, Run

QUICK = ("--seconds", 0.01, "--batch", 2, "--threads", 1)


def test_the_table_has_a_row_for_each_engine_and_says_what_is_missing(run: Run) -> None:
    done = run("bench", *QUICK)
    assert done.returncode == 0, done.stderr
    for name in ("CPU", "CPU, as by default", "CPU, full graph in ONNX Runtime", "CUDA", "TensorRT"):
        assert name in done.stdout
    assert "256 images, batches of 2" in done.stdout


def test_json_has_all_engines_on_the_users_images(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    done = run("bench", *QUICK, "--json", "--images", SAMPLES, "--images", tmp_path / "broken.jpg")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["images"]["count"] == len(list(SAMPLES.glob("*.jpg")))
    assert told["batch"] == 2
    assert "left out: broken.jpg" in done.stderr
    rows = {row["name"]: row for row in told["engines"]}
    assert rows["CPU"]["images_per_second"]["median"] > 0
    assert rows["CPU"]["milliseconds"]["p99"] >= rows["CPU"]["milliseconds"]["median"] > 0
    for row in told["engines"]:
        assert ("why" in row) != ("images_per_second" in row)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--images", "nowhere"), "nowhere"),
        (("no.onnx",), "no.onnx"),
        (("--seconds", "0"), "--seconds: expected more than 0"),
        (("--seconds", "nan"), "--seconds: expected more than 0"),
        (("--batch", "0"), "--batch"),
        (("--threads", "0"), "--threads"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: tuple[str, ...], told: str, run: Run) -> None:
    done = run("bench", *options)
    assert done.returncode == 2
    assert told in done.stderr


def test_images_of_which_none_can_be_used_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    done = run("bench", "--images", tmp_path / "broken.jpg")
    assert done.returncode == 2
    assert "expected at least one image that can be used" in done.stderr
