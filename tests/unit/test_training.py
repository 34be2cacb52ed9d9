"""A training from end to end, small: files, repetition, and errors that come early or clearly."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import cv2
import pytest
import torch

from stn_deploy.errors import ArgumentError, DatasetError, MissingDependency, OutputError, TrainingError
from stn_deploy.training import load_checkpoint, loop, objective, train
from stn_deploy.training.distributed import Team
from tests.small_training import SMALL, render_once, small_words


@pytest.fixture(autouse=True)
def rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are the same for all."""
    render_once(monkeypatch)


def test_a_training_writes_its_checkpoint_and_a_line_for_each_epoch(tmp_path: Path) -> None:
    reported: list[tuple[str, float, str]] = []
    result = train(
        SMALL, tmp_path, words=small_words(), processes=1, report=lambda *progress: reported.append(progress)
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[1]["loss"] < lines[0]["loss"]
    assert {"rendered_error", "rendered_error_p90", "real_error", "real_error_p90"} <= lines[0].keys()
    assert all(lines[1][name] == value for name, value in result.metrics.items())

    again = load_checkpoint(result.checkpoint)
    assert result.checkpoint == tmp_path / "checkpoint.safetensors"
    assert again.spec.recipe["name"] == "small"
    assert again.spec.recipe["real_words"] == 8  # a fifth of ten is held out
    assert again.spec.thumbnail_size == (16, 40)
    thumbnails, sizes = torch.rand(2, 3, 16, 40) * 255, torch.tensor([[20.0, 60.0], [40.0, 50.0]])
    with torch.inference_mode():
        assert torch.equal(again(thumbnails, sizes).theta, result.rectifier(thumbnails, sizes).theta)

    assert reported[-1][:2] == ("training", 1.0)
    assert re.fullmatch(r"loss \d\.\d{4}, [\d,]+ images/s", reported[-1][2])
    for kind in ("rendering", "training"):
        parts = [part for name, part, _ in reported if name == kind]
        assert parts == sorted(parts)
        assert parts[-1] == 1.0

    for epoch in (1, 2):
        sheet = cv2.imread(str(tmp_path / "samples" / f"epoch_{epoch:03d}.png"))
        assert sheet is not None
        assert min(sheet.shape[:2]) > 400
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 1
    assert not (tmp_path / "pool").exists()  # of no use once the training is finished
    assert {"loss_points", "learning_rate", "images_per_second", "seconds"} <= lines[0].keys()


@pytest.mark.parametrize(
    ("factor", "named"), [(float("nan"), "loss became nan"), (float("inf"), "loss became -?inf")]
)
def test_a_loss_that_is_not_finite_stops_the_training_with_the_remedy(
    factor: float, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_number(points: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        return (points.sum() + 1) * factor

    monkeypatch.setattr(objective, "point_loss", no_number)
    with pytest.raises(TrainingError, match=rf"{named} in step 1 of 16; lower the learning rate"):
        train(dataclasses.replace(SMALL, real=0), tmp_path, processes=1)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_gradient_that_is_not_finite_stops_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steep(points: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        return torch.sqrt((points - points.detach()).square().sum())  # 0, and its slope is 0 / 0

    monkeypatch.setattr(objective, "point_loss", steep)
    with pytest.raises(TrainingError, match=r"length of the gradient became nan in step 1 of 16"):
        train(dataclasses.replace(SMALL, real=0), tmp_path, processes=1)


def test_an_output_that_cannot_be_written_stops_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="the output folder cannot be written"):
        train(SMALL, tmp_path / "file" / "run", report=lambda *_: pytest.fail("work began"))


def test_a_disk_without_room_for_the_pictures_stops_before_the_work(tmp_path: Path) -> None:
    vast = dataclasses.replace(SMALL, rendered=10**12)
    with pytest.raises(OutputError, match=r"the pictures of the recipe small take [\d.]+ GB while it trains"):
        train(vast, tmp_path, report=lambda *_: pytest.fail("work began"))


def test_fewer_real_words_than_a_batch_are_refused_with_the_numbers(tmp_path: Path) -> None:
    greedy = dataclasses.replace(SMALL, batch_real=9)
    message = r"at least 9 usable words \(batch_real of the recipe small\) beside the 2 held out.*"
    with pytest.raises(DatasetError, match=message + ", got 8; add words"):
        train(greedy, tmp_path, words=small_words(), report=lambda *_: pytest.fail("work began"))
    assert list(tmp_path.iterdir()) == []


def test_real_crops_that_do_not_reach_all_processes_are_refused() -> None:
    recipe = dataclasses.replace(SMALL, rendered=768, real=512, batch=66, batch_real=6)
    message = "real is 512, expected more than 512, so that each of 3 processes"
    with pytest.raises(ArgumentError, match=message):
        loop._new_learner(recipe, Team(size=3), real_words=8)


def test_a_missing_tensorboard_stops_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependency, match=r"pip install 'stn-deploy\[train\]'"):
        train(SMALL, tmp_path, report=lambda *_: pytest.fail("work began"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "device: expected auto, cpu or cuda, got 'gpu'"),
        ("cuda", "device: expected a GPU .*, found none"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    device: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArgumentError, match=message):
        train(SMALL, tmp_path, device=device)
