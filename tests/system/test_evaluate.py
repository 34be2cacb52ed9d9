"""``evaluate`` with several engines and a report; stand-ins for the RapidOCR packages lie beside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stn_deploy.runtime.ocr import READERS
from tests.system.conftest import SAMPLES, Run

STRAIGHT_HEIGHT = 48
ENGINES = ["--ocr", "rapidocr", "--ocr", "rapidocr-v4"]

# One reads what is straightened and the other what is not, each a little surer of what it reads right.
BETTER_STRAIGHT = f"""
from types import SimpleNamespace
class RapidOCR:
    cfg = SimpleNamespace(Rec=SimpleNamespace(ocr_version=SimpleNamespace(value="PP-OCRv6")))
    def __init__(self, params): pass
    def __call__(self, image, **options):
        straight = image.shape[0] == {STRAIGHT_HEIGHT}
        return SimpleNamespace(txts=["Bakery" if straight else "<b>"], scores=[0.9 if straight else 0.8])
"""
BETTER_RAW = f"""
class RapidOCR:
    def __init__(self, **options): pass
    def __call__(self, image, **options):
        straight = image.shape[0] == {STRAIGHT_HEIGHT}
        return [["Bkery" if straight else "bakery", 0.8 if straight else 0.9]], [0.01]
"""


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """A bent word and a straight one; the engines' stand-ins beside the folder."""
    (tmp_path / "rapidocr.py").write_text(BETTER_STRAIGHT)
    (tmp_path / "rapidocr_onnxruntime.py").write_text(BETTER_RAW)
    folder = tmp_path / "crops"
    folder.mkdir()
    for name in ("arch.jpg", "straight_1.jpg"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    (folder / "labels.tsv").write_text("file\ttext\narch.jpg\tBakery\nstraight_1.jpg\tBakery\narch.jpg\t!!\n")
    return folder


def test_each_engine_has_its_row_and_its_second_opinion(run: Run, crops: Path) -> None:
    done = run("evaluate", crops, *ENGINES, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["words"], result["straightened"], result["skipped"]) == (2, 0.5, 1)
    first, second = result["engines"]
    assert first["engine"].startswith("PP-OCRv6")
    assert second["engine"].startswith("PP-OCRv4")
    assert (first["raw"], second["raw"]) == (0.0, 1.0)
    assert first["rectified"]["gain"] == first["second_opinion"]["gain"] == 0.5
    assert second["rectified"]["gain"] == -0.5
    assert second["second_opinion"]["gain"] == 0.0
    (fixed,) = first["rectified"]["fixed"]
    assert fixed["name"] == "arch.jpg"
    assert (fixed["raw"], fixed["raw_confidence"]) == ("<b>", 0.8)
    assert second["second_opinion"]["broken"] == []
    shown = run("evaluate", crops, *ENGINES)
    assert shown.returncode == 0, shown.stderr
    for expected in ("PP-OCRv6", "PP-OCRv4", "straightened", "second opinion", "50.0%", "+50.0 points"):
        assert expected in shown.stdout
    assert "1 sample skipped" in shown.stderr


def test_the_report_is_one_file_with_the_changed_words(run: Run, crops: Path, tmp_path: Path) -> None:
    (crops / "bad.jpg").write_bytes(b"no image")
    with (crops / "labels.tsv").open("a") as labels:
        labels.write("bad.jpg\tBakery\n")
    before = sorted(tmp_path.iterdir())
    done = run("evaluate", crops, *ENGINES, "--report", "report.html")
    assert done.returncode == 1
    assert "bad.jpg" in done.stderr
    assert sorted(set(tmp_path.iterdir()) - set(before) - {tmp_path / "__pycache__"}) == [
        tmp_path / "report.html"
    ]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 4  # one word fixed, one broken, each before and after
    assert "&lt;b&gt;" in page
    digest = json.loads(run("info", "--json").stdout)["digest"]
    assert "<title>stn-deploy: crops</title>" in page
    made_with = rf"model rectifier\.onnx, float32, digest {digest[:12]}, threshold 0\.\d+, stn-deploy \d"
    assert re.search(made_with, page)
    assert "bad.jpg" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ocr", "magic"], f"ocr: expected one of {', '.join(READERS)}, got 'magic'"),
        (["--ocr", "rapidocr", "--ocr", "rapidocr"], "each engine once, got rapidocr twice"),
        (["--ocr", "rapidocr", "--threads", "0"], "threads: expected at least 1, got 0"),
        (["--ocr", "rapidocr", "--report", "absent/report.html"], "expected a file in a folder that exists"),
        (
            ["--ocr", "rapidocr", "--report", "crops"],
            "expected a file to write, such as report.html, got the folder crops",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(
    run: Run, crops: Path, arguments: list[str], message: str
) -> None:
    broken = crops.parent / "rapidocr.py"
    broken.write_text(BETTER_STRAIGHT.replace("straight = ", "raise SystemExit('read'); straight = "))
    done = run("evaluate", crops, *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (crops.parent / "absent").exists()


def test_rectify_shows_what_the_engine_reads(run: Run, crops: Path) -> None:
    done = run("rectify", crops / "arch.jpg", "-o", "out", "--read", "rapidocr-v4", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert (line["text_before"], line["text_after"]) == ("bakery", "Bkery")
    refused = run("rectify", crops, "-o", "out2", "--read", "magic")
    assert refused.returncode == 2
    assert f"--read: expected {', '.join(READERS)}, auto or none, got 'magic'" in refused.stderr
