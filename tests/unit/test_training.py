"""A training from end to end, small: files, repetition, and errors that come early or clearly."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from stn_deploy.errors import OutputError, TrainingError
from stn_deploy.training import (
    RealWord,
    Recipe,
    load_checkpoint,
    objective,
    pool,
    train,
)
from stn_deploy.training.fonts import FALLBACK
from tests.pictures import noise

SMALL = Recipe(
    name="small",
    rendered=256,
    real=256,
    epochs=2,
    batch=32,
    batch_real=4,
    learning_rate=3e-3,
    warm_up=4,
    held_out=2,
    thumbnail_size=(16, 40),
    control_points=8,
    channels=(8, 8, 8, 8),
    dense=16,
    average=0.9,
)
QUAD = np.array([[4, 5], [60, 9], [58, 25], [3, 22]], np.float32)


def words() -> list[RealWord]:
    return [RealWord(image=noise(30, 70, seed=seed), quad=QUAD, text="a") for seed in range(10)]


@pytest.fixture(autouse=True)
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts of this computer do not matter here."""
    monkeypatch.setattr(pool, "find_fonts", lambda: (FALLBACK,))


def test_a_training_writes_its_checkpoint_and_a_line_for_each_epoch(tmp_path: Path) -> None:
    reported: list[tuple[str, float, str]] = []
    result = train(
        SMALL, tmp_path, words=words(), processes=1, report=lambda *progress: reported.append(progress)
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


def test_a_loss_that_is_not_finite_stops_the_training_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_number(points: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        return points.sum() * float("nan")

    monkeypatch.setattr(objective, "point_loss", no_number)
    with pytest.raises(TrainingError, match=r"loss became nan in step 1 of 16; lower the learning rate"):
        train(dataclasses.replace(SMALL, real=0), tmp_path, processes=1)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_an_output_that_cannot_be_written_stops_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="the output folder cannot be written"):
        train(SMALL, tmp_path / "file" / "run", report=lambda *_: pytest.fail("work began"))
