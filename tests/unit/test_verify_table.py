"""The table of ``verify``: narrow enough for any terminal, every column named, and a verdict below it."""

from __future__ import annotations

import io

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
    good = {"theta": 2e-6, "score": 3e-7, "pixels": 0.01}
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
    assert rows[1][1:-1] == ["24", "1213 x 1702", "2.0e-06", "3.0e-07", "0.500"]
    assert lines[-1] == "at most theta 2.0e-06, score 3.0e-07, pixels 0.500 of 255: all within tolerance"


@pytest.mark.parametrize("value", [2.0, float("nan")])
def test_what_is_too_far_is_named_below_the_table(value: float, shown: io.StringIO) -> None:
    assert not print_comparisons(comparisons(pixels=value))
    last = shown.getvalue().splitlines()[-1]
    assert f"pixels {value:.3f} of 255" in last
    assert last.endswith("beyond tolerance: split (batch 24)")
