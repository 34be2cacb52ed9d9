"""What ``rectify`` shows: on the sheet first what was straightened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stn_deploy.cli import rectify_report
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
