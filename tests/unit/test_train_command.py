"""What ``train`` says: of words without a place, which are refused or learned from, and of its progress."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from rich.console import Console

from stn_deploy.cli import main
from stn_deploy.cli.train_progress import PlainLines
from stn_deploy.training import RECIPES
from tests.pictures import smooth
from tests.small_training import SMALL, render_once

READING = replace(
    SMALL, name="reading", epochs=1, recognition_weight=0.05, consistency_weight=0.1, texts=256, batch_texts=8
)
PLAIN = replace(SMALL, name="plain", real=0)
QUAD = "4,5,60,9,58,25,3,22"


@pytest.fixture(autouse=True)
def small_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    render_once(monkeypatch)
    monkeypatch.setitem(RECIPES, "reading", READING)
    monkeypatch.setitem(RECIPES, "plain", PLAIN)


class Train:
    """Runs ``stn-deploy train`` on a folder of labelled words; gives the exit status and what was said."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]) -> None:
        self.folder, self.patch, self.captured = folder, patch, captured

    def __call__(self, recipe: str, rows: list[tuple[str, str]]) -> tuple[int, str]:
        crops = self.folder / "crops"
        crops.mkdir()
        lines = ["file\ttext\tquad"]
        for index, (text, quad) in enumerate(rows):
            assert cv2.imwrite(str(crops / f"{index}.png"), smooth(30, 70, seed=index))
            lines.append(f"{index}.png\t{text}\t{quad}")
        (crops / "labels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        status, _, said = self.run("--recipe", recipe, "--data", str(crops))
        return status, " ".join(said.split())

    def run(self, *options: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        command = ["stn-deploy", "train", *options, "-o", str(self.folder / "run"), "--processes", "1"]
        self.patch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as done:
            main()
        assert isinstance(done.value.code, int)
        return done.value.code, *self.captured.readouterr()


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    return Train(tmp_path, monkeypatch, capsys)


TEXTS = [(f"Text{index}", "") for index in range(5)]


def test_words_without_a_place_are_refused_where_the_recipe_cannot_use_them(
    train: Train, tmp_path: Path
) -> None:
    status, said = train("default", TEXTS)
    assert status == 2
    assert "expected samples with a quad column" in said
    assert "(5 without a quad)" in said
    assert "recognition_weight" in said
    assert not (tmp_path / "run").exists()


def test_a_recipe_with_texts_learns_from_them(train: Train, tmp_path: Path) -> None:
    status, said = train("reading", [*TEXTS, ("", ""), ("R&D", "")])
    assert status == 0, said
    assert "5 words with a text alone" in said
    assert "1 left out, with an empty label" in said
    assert "1 left out, with characters in the label other than" in said
    assert "0 words with a quad" in said
    assert "without a quad" not in said
    assert "loss_recognition" in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_a_set_of_both_gives_both(train: Train) -> None:
    crossed = "4,5,58,25,60,9,3,22"
    places = [(f"Place{index}", QUAD) for index in range(6)]
    status, said = train("reading", [*TEXTS, *places, ("crossed", crossed)])
    assert status == 0, said
    assert "5 words with a text alone" in said
    assert "6 words with a quad" in said
    assert "1 left out, with a quad that is not convex" in said


def test_unreadable_labels_alone_are_refused_with_their_number(train: Train) -> None:
    status, said = train("reading", [("", ""), ("größer", "")])
    assert status == 2
    assert "0 words with a text alone" in said
    assert "1 left out, with an empty label" in said
    assert "expected samples with a quad column" in said


def test_without_a_terminal_each_epoch_has_its_line(train: Train) -> None:
    status, written, said = train.run("--recipe", "plain")
    assert status == 0, said
    epochs = [line for line in said.splitlines() if line.startswith("epoch ")]
    number = r"\d+\.\d{4}"
    pattern = rf"loss {number}, error on rendered words {number} \(90th percentile {number}\)"
    assert [line.split(":")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all(re.fullmatch(rf"epoch \d of 2: {pattern}", line) for line in epochs)
    assert "rendering: 100 %" in said.splitlines()
    assert "wrote" in written


def test_a_finished_training_is_said_to_be_finished(train: Train, tmp_path: Path) -> None:
    train.run("--recipe", "plain")
    status, written, said = train.run("--resume")
    assert status == 0, said
    assert f"this training was finished already; its checkpoint is {tmp_path / 'run'}" in written
    assert "wrote" not in written
    assert "loss" not in written + said
    assert "next: stn-deploy export" in written


def test_each_tenth_of_the_rendering_has_one_line() -> None:
    console = Console(file=io.StringIO())
    lines = PlainLines(console, epochs=3)
    for done in range(0, 101, 4):
        lines.report("rendering", done / 100, "")
        lines.report("training", done / 100, "loss 1.0")
    told = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert told == [f"rendering: {part} %" for part in range(10, 101, 10)]
