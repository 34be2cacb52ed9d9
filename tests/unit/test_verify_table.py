"""The table of ``verify``: narrow enough for any terminal, every column named, and a verdict below it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from stn_deploy.cli import verify
from stn_deploy.cli.verify import print_comparisons

Comparison = pytest.importorskip("stn_deploy.export").Comparison
PATHS = ("ONNX Runtime, full graph", "ONNX Runtime + OpenCV, split")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(verify, "output", Console(file=file, width=80))
    return file


def comparisons(**worst: float) -> list:
    """Two paths; the second has the values given."""
    good = {"theta": 2e-6, "theta_pixels": 4e-4, "score": 3e-7, "pixels": 0.01}
    return [
        Comparison(path=path, batch=24, canvas=(1213, 1702), **values)
        for path, values in zip(PATHS, (good, {**good, **worst}), strict=True)
    ]


def test_a_row_is_one_line_of_80_columns_and_every_column_has_a_name(shown: io.StringIO) -> None:
    assert print_comparisons(comparisons(pixels=0.5))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    (header,) = (line for line in lines if "theta" in line and "path" in line)
    assert all(cell.strip() for cell in header.strip("┃").split("┃"))
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert [row[0] for row in rows] == ["full graph", "split"]
    assert [row[-1] for row in rows] == ["ok", "ok"]
    assert rows[1][1:-1] == ["24", "1213 x 1702", "2.0e-06", "4.0e-04", "0.500"]
    assert lines[-2] == "at most theta 2.0e-06, 4.0e-04 source pixels, score 3.0e-07, 0.500 of 255"
    assert lines[-1] == "all within tolerance (theta 0.0001, score 0.001, 1 of 255)"


def test_a_hostile_theta_has_no_error_of_its_own(shown: io.StringIO) -> None:
    hostile = Comparison(path=PATHS[0], batch=24, canvas=(1213, 1702), pixels=0.25)
    assert print_comparisons([*comparisons(), hostile])
    rows = [line.strip("│").split("│") for line in shown.getvalue().splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in rows[-1][3:]] == ["hostile", "", "0.250", "ok"]


@pytest.mark.parametrize("value", [2.0, float("nan")])
def test_what_is_too_far_is_named_below_the_table(value: float, shown: io.StringIO) -> None:
    assert not print_comparisons(comparisons(pixels=value))
    worst, verdict = shown.getvalue().splitlines()[-2:]
    assert worst.endswith(f"{value:.3f} of 255")
    assert verdict == "beyond tolerance: split (batch 24) (theta 0.0001, score 0.001, 1 of 255)"


def test_lower_precision_is_judged_in_text_heights_and_says_so(shown: io.StringIO) -> None:
    near, far = ([_in_int8(heights)] for heights in (0.2, 0.4))
    assert print_comparisons(near)
    assert not print_comparisons(far)
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "99 % of the control points of a batch within 0.200 text heights" in lines
    assert "99 % of the control points of a batch within 0.400 text heights" in lines
    assert "all within tolerance (99 % of theta 0.3 text heights, 1 of 255)" in lines
    assert lines[-1] == "beyond tolerance: split (batch 7) (99 % of theta 0.3 text heights, 1 of 255)"


def _in_int8(heights: float) -> Any:
    return Comparison(
        path=PATHS[1],
        batch=7,
        canvas=(40, 90),
        precision="int8",
        theta=0.03,
        theta_pixels=1.2,
        theta_heights=heights,
        score=0.01,
        pixels=0.5,
    )
