"""The table, the summary and the picture that ``stn-deploy read`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stn_deploy.pictures import save_picture
from stn_deploy.runtime.ocr.files import FileReading
from stn_deploy.runtime.sheet import SheetRow, SheetRows, before_after_sheet
from stn_deploy.wording import counted, one_line

_PAGE_SIDE = 400
"""Pixels: crops of one line are seldom so high."""


class ReadReport:
    """Collects readings as they come; keeps pixels only where a picture was asked for."""

    def __init__(self, *, engine: str, second_opinion: bool, table: bool, picture: bool) -> None:
        """Args: engine: its name. table, picture: which of them will be asked for."""
        self.failed: list[str] = []
        self._title = f"{engine}, the more confident reading counts" if second_opinion else engine
        self._table: list[dict[str, Any]] | None = [] if table else None
        self._picture = picture
        self._shown = SheetRows()
        self._read = self._applied = self._changed = self._large = 0

    def add(self, reading: FileReading, line: dict[str, Any]) -> None:
        """Take one file in; ``line`` is its JSON line."""
        if self._table is not None:
            self._table.append(line)
        if reading.both is None or reading.original is None:
            self.failed.append(reading.error or "")
            return
        self._read += 1
        self._large += min(reading.original.shape[:2]) >= _PAGE_SIDE
        self._applied += reading.both.result.applied
        self._changed += one_line(line["text"]) != one_line(line["before"]["text"])
        if self._picture:
            self._shown.add(
                SheetRow(
                    image=reading.original,
                    result=reading.both.result,
                    # The text first: what is too long for the column is cut at its end.
                    label=f"{_noted('before', line)}, {line['file']}",
                    note=_noted("after", line) if line["applied"] else "untouched",
                )
            )

    def summary(self) -> str:
        """One line: how many were read, straightened, and read otherwise for that."""
        total = self._read + len(self.failed)
        hint = f"; {self._large} may be whole pages: --pages finds their lines first" if self._large else ""
        return (
            f"{self._read} of {counted(total, 'image')} read, {self._applied} straightened, "
            f"the text of {self._changed} changed{hint}"
        )

    def print(self, console: Console) -> None:
        """The table, a row for each file."""
        table = Table(title=self._title)
        table.add_column("file", overflow="fold")
        for name in ("before", "after"):
            table.add_column(name, overflow="fold")
            table.add_column("sure", justify="right")
        table.add_column("kept")
        table.add_column("result")
        for line in self._table or ():
            if "error" in line:
                table.add_row(line["file"], "", "", "", "", "", "error")
                continue
            cells = [line["file"]]
            for name in ("before", "after"):
                cells += [one_line(line[name]["text"]), f"{line[name]['confidence']:.2f}"]
            table.add_row(*cells, line["kept"], "straightened" if line["applied"] else "untouched")
        console.print(table, markup=False)

    def write_picture(self, path: Path) -> str:
        """Write source and crop of each file side by side, with the texts: straightened ones first.

        Returns:
            a sentence about what the picture shows.
        Raises:
            OutputError: it cannot be written.
        """
        rows = self._shown.kept
        if not rows:
            return f"{path} is not written: there is nothing to show"
        save_picture(before_after_sheet(rows), path)
        few = f" {len(rows)} of them, straightened ones first" if len(rows) < self._read else " them"
        return f"{path} shows{few}"


def _noted(place: str, line: dict[str, Any]) -> str:
    reading = line[place]
    kept = ", kept" if line["kept"] == place else ""
    return f"'{one_line(reading['text'])}' {reading['confidence']:.2f}{kept}"
