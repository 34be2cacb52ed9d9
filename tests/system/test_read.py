"""``stn-deploy read`` as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.system.conftest import ROOT, SAMPLES, Run

WORDS = dict(
    line.split("\t")[:2] for line in (SAMPLES / "labels.tsv").read_text(encoding="utf-8").splitlines()[1:]
)


@pytest.fixture(autouse=True)
def _tesseract() -> None:
    pytest.importorskip("tesserocr", reason="read needs the extra ocr")


def test_rectification_makes_the_samples_readable(run: Run, tmp_path: Path) -> None:
    done = run("read", SAMPLES, "--json", "--picture", "seen.png")
    assert done.returncode == 0, done.stderr
    lines = {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert lines.keys() == WORDS.keys()
    assert [name for name, line in lines.items() if line["text"] != WORDS[name]] == []
    wrong = [name for name, line in lines.items() if line["before"]["text"] != WORDS[name]]
    assert len(wrong) >= 4
    assert all(lines[name]["kept"] == "after" for name in wrong)
    assert "9 of 9 images read, 7 straightened" in done.stderr
    picture = cv2.imread(str(tmp_path / "seen.png"))
    assert picture is not None
    assert picture.shape[0] > 9 * 60


def test_the_table_shows_both_readings(run: Run) -> None:
    done = run("read", SAMPLES / "arch.jpg", SAMPLES / "straight_1.jpg", "--second-opinion")
    assert done.returncode == 0, done.stderr
    arch, straight = [line for line in done.stdout.splitlines() if ".jpg" in line]
    assert arch.split("│")[4].strip() == "Bakery"
    assert [cell.strip() for cell in arch.split("│")[6:8]] == ["after", "straightened"]
    assert [cell.strip() for cell in straight.split("│")[6:8]] == ["before", "untouched"]
    assert "Tesseract" in done.stdout
    assert "the more confident reading counts" in done.stdout


def test_settings_reach_the_rectifier(run: Run) -> None:
    never = run("read", SAMPLES / "arch.jpg", "--threshold", 1, "--json")
    assert json.loads(never.stdout)["applied"] is False
    always = run("read", SAMPLES / "straight_1.jpg", "--threshold", 0, "--size", "32x100", "--json")
    assert json.loads(always.stdout)["applied"] is True


def test_a_bad_file_is_told_and_spoils_no_other(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "in" / "good.jpg").write_bytes((SAMPLES / "arch.jpg").read_bytes())
    done = run("read", "in", "--json")
    assert done.returncode == 1
    bad, good = map(json.loads, done.stdout.splitlines())
    assert bad["file"] == "bad.png"
    assert "expected one of the formats" in bad["error"]
    assert good["text"] == "Bakery"
    assert "error: bad.png: expected one of the formats" in done.stderr
    assert "1 of 2 images read" in done.stderr
    assert "Bakery" in run("read", "in").stdout


PAGE = ROOT / "docs" / "pages" / "cafe.jpg"


def test_rectification_makes_the_lines_of_a_page_readable(run: Run, tmp_path: Path) -> None:
    done = run("read", "--pages", PAGE, "--json", "--picture", "seen.png", "--second-opinion")
    assert done.returncode == 0, done.stderr
    (page,) = map(json.loads, done.stdout.splitlines())
    assert page["file"] == "cafe.jpg"
    assert page["source_size"] == [960, 780]
    before = {line["before"]["text"] for line in page["lines"]}
    after = {line["text"] for line in page["lines"]}
    straight = {"Open daily from 11 to 22", "Soup of the day", "Grilled mackerel", "4.50", "9.80"}
    assert straight <= before & after
    # Which lines it finds in one piece depends on the version of Tesseract.
    bent = {"Brasserie", "Fresh fish every day", "Lunch", "Homemade", "Desserts"}
    assert len(bent & (after - before)) >= 3
    assert not bent & (before - after)
    truth = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    points = {each["text"]: np.array(each["points"]) for each in truth}
    for line in page["lines"]:
        if line["text"] in points:
            middle = np.array(line["outline"]).mean(axis=0)
            true = points[line["text"]]
            height = np.linalg.norm(true[:10] - true[10:], axis=1).mean()
            assert np.linalg.norm(middle - true.mean(axis=0)) < height, line["text"]
            assert "words" in line["after"]
    order = [line["text"] for line in page["lines"] if line["text"] in straight]
    assert order == ["Open daily from 11 to 22", "Soup of the day", "4.50", "Grilled mackerel", "9.80"]
    assert re.search(
        r"^\d+ lines on 1 page read, \d+ straightened, the text of \d+ changed", done.stderr, re.M
    )
    picture = cv2.imread(str(tmp_path / "seen.png"))
    assert picture is not None
    assert picture.shape[0] > 960
    assert picture.shape[1] > 780 + 2 * 330


def test_the_table_of_a_page_and_a_file_that_is_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "in" / "good.jpg").write_bytes(PAGE.read_bytes())
    done = run("read", "in", "--pages")
    assert done.returncode == 1
    assert "error: bad.png: expected one of the formats" in done.stderr
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in done.stdout.splitlines() if "│" in row]
    assert ["Soup of the day", "Soup of the day", "untouched"] in [[row[0], row[2], row[5]] for row in rows]
    assert [(row[2], row[5]) for row in rows].count(("Fresh fish every day", "changed")) == 1
    assert "good.jpg: Tesseract" in done.stdout


def test_a_page_that_is_read_as_one_line_is_told_of_the_option(run: Run) -> None:
    assert "1 may be whole pages: --pages finds their lines first" in run("read", PAGE).stderr
    assert "--pages" not in run("read", SAMPLES / "arch.jpg").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["arch.jpg", "--detector", "tesseract"], "--detector: expected --pages with it"),
        (["arch.jpg", "--pages", "--detector", "magic"], "ocr: expected one of tesseract, rapidocr"),
        (["none.jpg"], "inputs: none.jpg: no such file or folder"),
        (
            ["arch.jpg", "--ocr", "magic"],
            "ocr: expected one of tesseract, rapidocr, rapidocr-v4, paddleocr, doctr, easyocr, got 'magic'",
        ),
        (["arch.jpg", "--size", "32"], "--size: expected HEIGHTxWIDTH"),
        (["arch.jpg", "--size", "32x100", "--height", 48], "size: expected either a height or a size"),
        (["arch.jpg", "--threshold", 2], "threshold: expected 0 to 1, got 2.0"),
        (["arch.jpg", "--threads", 0], "threads: expected at least 1, got 0"),
        (["arch.jpg", "--max-megapixels", 0], "--max-megapixels: expected more than 0, got 0.0"),
        (["arch.jpg", "--max-megapixels", "nan"], "--max-megapixels: expected more than 0, got nan"),
        (["arch.jpg", "--picture", "seen.jpg"], "seen.jpg: expected a name that ends in .png"),
        (["arch.jpg", "--picture", "."], "is a folder; expected the name of a file"),
        (["arch.jpg", "seen.png", "--picture", "seen.png"], "would write over seen.png"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, arguments: list[object], message: str
) -> None:
    (tmp_path / "arch.jpg").write_bytes((SAMPLES / "arch.jpg").read_bytes())
    flag = cv2.imread(str(SAMPLES / "flag.jpg"))
    assert flag is not None
    assert cv2.imwrite(str(tmp_path / "seen.png"), flag)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = run("read", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
