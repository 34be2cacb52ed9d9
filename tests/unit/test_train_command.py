"""What ``train --data`` makes of words without a place: refused or learned from, and always counted."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from stn_deploy.cli import main
from stn_deploy.training import RECIPES
from tests.pictures import smooth
from tests.small_training import SMALL, render_once

READING = replace(
    SMALL, name="reading", epochs=1, recognition_weight=0.05, consistency_weight=0.1, texts=256, batch_texts=8
)
QUAD = "4,5,60,9,58,25,3,22"


@pytest.fixture(autouse=True)
def small_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    render_once(monkeypatch)
    monkeypatch.setitem(RECIPES, "reading", READING)


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
        options = ["--recipe", recipe, "--data", str(crops), "-o", str(self.folder / "run")]
        self.patch.setattr(sys, "argv", ["stn-deploy", "train", *options, "--processes", "1"])
        with pytest.raises(SystemExit) as done:
            main()
        assert isinstance(done.value.code, int)
        said = self.captured.readouterr().err
        return done.value.code, " ".join(said.split())


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
