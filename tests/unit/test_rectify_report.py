"""What ``rectify`` shows: on the sheet first what was straightened."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from stn_deploy.cli import rectify_report
from stn_deploy.cli.common import progress_bar
from stn_deploy.cli.rectify_report import Report
from stn_deploy.data import FoundImage
from stn_deploy.geometry import TextSpline, control_point_targets
from stn_deploy.runtime import Rectified
from stn_deploy.runtime.folder import FileResult
from stn_deploy.runtime.sheet import SheetRow


def result(name: str, applied: bool) -> FileResult:
    image = np.full((20, 50, 3), 90, np.uint8)
    theta = control_point_targets(20).astype(np.float32)
    found = Rectified(
        image=image, applied=applied, score=0.5, theta=theta, source_size=(20, 50), spline=TextSpline()
    )
    return FileResult(
        source=FoundImage(Path(name), Path(name)), output=Path(name), original=image, result=found
    )


@pytest.mark.parametrize(("untouched", "straightened"), [(3, 2), (30, 2), (30, 30), (0, 30), (30, 0)])
def test_the_sheet_shows_what_was_straightened_before_the_rest(
    untouched: int, straightened: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets: list[list[SheetRow]] = []

    def keep(rows: list[SheetRow]) -> np.ndarray:
        sheets.append(list(rows))
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(rectify_report, "before_after_sheet", keep)
    report = Report(read="none", sheet=True, rows=0)
    for index in range(max(untouched, straightened)):
        if index < untouched:
            report.add(result(f"u{index}", applied=False))
        if index < straightened:
            report.add(result(f"s{index}", applied=True))
    report.write_sheet(tmp_path / "sheet.png")
    straight = [f"s{index}" for index in range(straightened)]
    plain = [f"u{index}" for index in range(untouched)]
    assert [[row.label for row in sheet] for sheet in sheets] == [(straight + plain)[:24]]
    told = "the sheet shows 24 of them, straightened ones first" in report.summary()
    assert told == (untouched + straightened > 24)


def test_what_an_earlier_run_did_is_counted_apart_and_shown() -> None:
    line = {"file": "old.png", "output": "old.png", "applied": True, "score": 0.7, "milliseconds": 0.1}
    report = Report(read="none", sheet=True, rows=2, keep=False)
    earlier = FoundImage(Path("old.png"), Path("old.png"))
    report.add(FileResult(source=earlier, output=Path("old.png"), kept=line))
    for name in ("a.png", "b.png", "c.png"):
        report.add(result(name, applied=name == "a.png"))
    report.add(FileResult(source=FoundImage(Path("bad"), Path("bad")), error="bad: is none"))
    assert report.summary().startswith("3 of 5 images done, 1 straightened, ")
    assert report.summary().endswith("ms each, 1 skipped: done by an earlier run")
    assert report.outputs == {"old.png", "a.png", "b.png", "c.png"}
    assert report.failed == ["bad: is none"]
    assert [line["file"] for line in report.lines] == ["old.png", "a.png"], "no more than the table shows"
    console = Console(width=100, file=io.StringIO())
    report.print(console)
    assert isinstance(console.file, io.StringIO)
    assert "applied, skipped" in console.file.getvalue()


def test_the_bar_shows_the_rate_and_the_time_left() -> None:
    clock = 0.0
    bar = progress_bar(rate_of="images")
    bar.get_time = lambda: clock
    task = bar.add_task("straightening", total=100, completed=20)
    for clock in (0.0, 1.0, 2.0):  # noqa: B007
        bar.advance(task, 15)
    console = Console(width=120, file=io.StringIO())
    console.print(bar.get_renderable())
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "65/100" in shown
    assert "15 images/s" in shown
    assert "0:00:03" in shown
