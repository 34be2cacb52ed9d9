"""``stn-deploy rectify`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.system.conftest import SAMPLES, Run


def lines_of(folder: Path) -> dict[str, dict]:
    text = (folder / "rectified.jsonl").read_text(encoding="utf-8")
    return {line["file"]: line for line in map(json.loads, text.splitlines())}


def test_samples_are_straightened_and_straight_words_pass_untouched(run: Run, tmp_path: Path) -> None:
    done = run("rectify", SAMPLES, "-o", "out", "--sheet")
    assert done.returncode == 0, done.stderr
    lines = lines_of(tmp_path / "out")
    assert len(lines) == len(list(SAMPLES.glob("*.jpg")))
    for name, line in lines.items():
        assert line["applied"] is (not name.startswith("straight")), name
        written = cv2.imread(str(tmp_path / "out" / line["output"]))
        assert written is not None
        assert list(written.shape[:2]) == line["size"]
        if line["applied"]:
            assert line["size"][0] == 48
            assert np.asarray(line["control_points"]).shape == (20, 2)
        else:
            assert (tmp_path / "out" / name).read_bytes() == (SAMPLES / name).read_bytes()
    assert (tmp_path / "out" / "sheet.png").stat().st_size > 10_000
    assert "untouched" in done.stdout
    assert "applied" in done.stdout


def test_names_folders_and_formats_are_kept(run: Run, tmp_path: Path, arch: np.ndarray) -> None:
    for name in ("in/a.png", "in/deep/a.png", "in/deep/b.webp", "in/c.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(tmp_path / name), arch)
    done = run("rectify", "in", "-o", "out")
    assert done.returncode == 0, done.stderr
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    # GIF holds 256 colours; a straightened crop goes to PNG instead.
    assert written == {"a.png", "deep/a.png", "deep/b.webp", "c.png", "rectified.jsonl"}


def test_fixed_size_threshold_and_json(run: Run, tmp_path: Path) -> None:
    done = run(
        "rectify", SAMPLES / "straight_1.jpg", "-o", "out", "--threshold", 0, "--size", "32x100", "--json"
    )
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert line["applied"] is True
    assert line["size"] == [32, 100]
    kept = run("rectify", SAMPLES / "arch.jpg", "-o", "kept", "--threshold", 1, "--json")
    assert json.loads(kept.stdout)[0]["applied"] is False


def test_a_second_run_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for output in ("one", "two"):
        assert run("rectify", SAMPLES / "arch.jpg", "-o", output).returncode == 0
    assert (tmp_path / "one/arch.jpg").read_bytes() == (tmp_path / "two/arch.jpg").read_bytes()


def test_results_inside_the_input_folder_are_not_inputs_of_the_next_run(
    run: Run, photographs: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        done = run("rectify", photographs, "-o", photographs / "out")
        assert done.returncode == 0, done.stderr
        assert set(lines_of(photographs / "out")) == {"a_first.jpg", "z_last.jpg"}


def test_crops_of_an_earlier_run_are_counted(run: Run, photographs: Path, tmp_path: Path) -> None:
    assert "warning" not in run("rectify", photographs, "-o", "out", "--sheet").stderr
    assert "warning" not in run("rectify", photographs, "-o", "out").stderr
    one = run("rectify", photographs / "a_first.jpg", "-o", "out")
    assert one.returncode == 0
    assert "warning: out holds 1 other image, which rectified.jsonl does not list" in one.stderr
    both = run("rectify", SAMPLES / "arch.jpg", "-o", "out")
    assert "warning: out holds 2 other images" in both.stderr
    assert "warning" not in run("rectify", photographs, "-o", photographs.parent / "photographs/out").stderr


def test_a_sheet_never_writes_over_a_result(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_bytes((SAMPLES / "arch.jpg").read_bytes())
    done = run("rectify", "sheet.png", "-o", "out", "--sheet")
    assert done.returncode == 2
    assert "rename that input" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_second_run_goes_on_from_the_first(run: Run, photographs: Path, tmp_path: Path) -> None:
    first = run("rectify", photographs, "-o", "out", "--threads", 2)
    assert first.returncode == 0, first.stderr
    lines = lines_of(tmp_path / "out")
    (photographs / "m_new.jpg").write_bytes((SAMPLES / "perspective.jpg").read_bytes())
    again = run("rectify", photographs, "-o", "out", "--skip-existing", "--json")
    assert again.returncode == 0, again.stderr
    assert "1 of 3 images done, 1 straightened" in again.stderr
    assert "2 skipped: done by an earlier run" in again.stderr
    printed = {line["file"]: line for line in json.loads(again.stdout)}
    assert list(printed) == ["a_first.jpg", "m_new.jpg", "z_last.jpg"]
    assert printed == lines_of(tmp_path / "out")
    assert {name: printed[name] for name in lines} == lines
    table = run("rectify", photographs, "-o", "out", "--skip-existing", "--read", "none").stdout
    assert table.count("applied, skipped") == 2
    assert table.count("untouched, skipped") == 1


def test_threads_that_are_no_number_of_threads_are_refused(run: Run, photographs: Path) -> None:
    done = run("rectify", photographs, "-o", "out", "--threads", 0)
    assert done.returncode == 2
    assert "--threads: expected at least 1, got 0" in done.stderr


def test_the_shipped_rectifier_in_int8_and_an_engine_by_name(run: Run, tmp_path: Path) -> None:
    fast = run(
        "rectify", SAMPLES, "-o", tmp_path / "fast", "--precision", "int8", "--engine", "cpu", "--json"
    )
    exact = run("rectify", SAMPLES, "-o", tmp_path / "exact", "--precision", "fp32", "--json")
    for first, second in zip(json.loads(fast.stdout), json.loads(exact.stdout), strict=True):
        assert first["applied"] == second["applied"]
        assert first["score"] == pytest.approx(second["score"], abs=0.1)
        assert first["settings"] != second["settings"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--precision", "fp16", "--precision: expected fp32 or int8, got 'fp16'"),
        ("--engine", "gpu", "engine: expected one of auto, cpu, cuda, tensorrt, got 'gpu'"),
    ],
)
def test_what_is_no_precision_and_no_engine_is_refused(
    run: Run, tmp_path: Path, option: str, value: str, message: str
) -> None:
    done = run("rectify", SAMPLES, "-o", "out", option, value)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
