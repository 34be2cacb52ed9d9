"""``render`` as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stn_deploy.data import open_dataset
from stn_deploy.training.fonts import FALLBACK, load_font
from tests.system.conftest import Run


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    """A folder with one font, so that no command searches for those of the computer."""
    folder = tmp_path / "fonts"
    folder.mkdir()
    (folder / "own.ttf").write_bytes(load_font(FALLBACK, 16).font_bytes)
    return folder


def test_render_writes_a_set_that_rectify_takes(run: Run, fonts: Path, tmp_path: Path) -> None:
    done = run("render", "-o", "set", "--count", "4", "--seed", "3", "--processes", "1", "--fonts", fonts)
    assert done.returncode == 0, done.stderr
    assert re.search(r"wrote 4 words from 1 font to set \(\d+ words/s\)", done.stdout)
    with open_dataset(tmp_path / "set") as dataset:
        assert len(dataset) == 4
        assert all(sample.points is not None and sample.points.shape == (20, 2) for sample in dataset)
    done = run("rectify", "set", "-o", "straight", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 4


def test_own_words_go_into_a_zip_and_others_are_counted(run: Run, fonts: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("Bakery\n\n漢字\nRoom 214\n", encoding="utf-8")
    done = run(
        *("render", "-o", "set.zip", "--count", "6", "--processes", "1", "--control-points", "6"),
        *("--words", "words.txt", "--fonts", fonts, "--format", "jpg"),
    )
    assert done.returncode == 0, done.stderr
    assert "1 word left out: empty" in done.stderr
    assert "1 word left out: with characters that no font has" in done.stderr
    with open_dataset(tmp_path / "set.zip") as dataset:
        assert {sample.text for sample in dataset} == {"Bakery", "Room 214"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "fonts"], "expected an empty or absent folder"),
        (["-o", "set", "--control-points", "7"], "expected an even number of at least 4, got 7"),
        (["-o", "set", "--words", "absent.txt"], "absent.txt: the words cannot be read"),
    ],
)
def test_what_cannot_be_rendered_is_refused(
    run: Run, fonts: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run("render", "--fonts", fonts, "--processes", "1", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "set").exists()
    assert [path.name for path in fonts.iterdir()] == ["own.ttf"]
