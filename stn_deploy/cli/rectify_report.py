"""The table, the summary and the sheet that ``stn-deploy rectify`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stn_deploy.errors import MissingDependency
from stn_deploy.pictures import save_picture
from stn_deploy.runtime.folder import FileResult
from stn_deploy.runtime.ocr import Reader, open_reader
from stn_deploy.runtime.sheet import SheetRow, SheetRows, before_after_sheet
from stn_deploy.wording import counted, one_line


class Report:
    """Collects results as they come; keeps pictures and lines only where they were asked for.

    Attributes:
        lines: of the first ``rows`` files, of all with ``keep``. failed: what is wrong with each bad file.
        outputs: names of the files under the output folder.
    """

    def __init__(self, *, read: str, sheet: bool, rows: int, keep: bool = True) -> None:
        """Make one.

        Args:
            read: an engine, auto (Tesseract if installed) or none. rows: of the table, 0 for none.
            sheet: keep pictures for it. keep: the lines of all files.
        """
        self.lines: list[dict[str, Any]] = []
        self.failed: list[str] = []
        self.outputs: set[str] = set()
        self._keep = keep
        self._count = 0
        self._skipped = 0
        self._earlier: set[str] = set()  # of the table's rows
        self._sheet = sheet
        self._rows = rows
        self._shown = SheetRows()
        self._applied = 0
        self._milliseconds = 0.0
        self._reader: Reader | None = None
        if read != "none":
            try:
                self._reader = open_reader("tesseract" if read == "auto" else read)
            except MissingDependency:
                if read != "auto":
                    raise

    def add(self, done: FileResult) -> None:
        """Take one result in."""
        line = done.as_line()
        self._count += 1
        if self._keep or len(self.lines) < self._rows:
            self.lines.append(line)
        if done.output is not None:
            self.outputs.add(done.output.as_posix())
        if done.kept is not None:
            self._skipped += 1
            if self._rows:
                self._earlier.add(line["file"])
            return
        if done.result is None or done.original is None:
            self.failed.append(done.error or "")
            return
        self._applied += done.result.applied
        self._milliseconds += done.milliseconds
        if self._reader is not None:
            line["text_before"] = self._reader.read(done.original).text
            line["text_after"] = (
                self._reader.read(done.result.image).text if done.result.applied else line["text_before"]
            )
        if self._sheet:
            note = _note(done.result.applied, line)
            self._shown.add(SheetRow(image=done.original, result=done.result, label=line["file"], note=note))

    def summary(self) -> str:
        """One line: how many, how many straightened, how fast."""
        good = self._count - len(self.failed) - self._skipped
        text = f"{good} of {counted(self._count, 'image')} done, {self._applied} straightened"
        text += f", {self._milliseconds / good:.2f} ms each" if good else ""
        text += f", {self._skipped} skipped: done by an earlier run" if self._skipped else ""
        shown = len(self._shown.kept)
        hidden = self._sheet and good > shown
        return text + (f", the sheet shows {shown} of them, straightened ones first" if hidden else "")

    def print(self, console: Console) -> None:
        """The table, where it is short enough to be read."""
        if not self._rows:
            return
        table = Table()
        table.add_column("file", overflow="fold")
        table.add_column("result")
        table.add_column("score", justify="right")
        table.add_column("ms", justify="right")
        if self._reader is not None:
            table.add_column(f"{self._reader.name}: before", overflow="fold")
            table.add_column("after", overflow="fold")
        for line in self.lines[: self._rows]:
            if "error" in line:
                table.add_row(line["file"], "error")
                continue
            row = [line["file"], "applied" if line["applied"] else "untouched"]
            row[1] += ", skipped" if line["file"] in self._earlier else ""
            row += [f"{line['score']:.2f}", f"{line['milliseconds']:.2f}"]
            if self._reader is not None:
                row += [one_line(line.get(key, "")) for key in ("text_before", "text_after")]
            table.add_row(*row)
        console.print(table, markup=False)

    def write_sheet(self, path: Path) -> None:
        """Write the before/after sheet: straightened images first, then untouched ones, as many as it holds.

        Raises:
            OutputError: it cannot be written.
        """
        if rows := self._shown.kept:
            save_picture(before_after_sheet(rows), path)


def _note(applied: bool, line: dict[str, Any]) -> str:
    note = f"{'applied' if applied else 'untouched'}, score {line['score']:.2f}"
    if "text_before" in line:
        note += f", read: '{one_line(line['text_before'])}' -> '{one_line(line['text_after'])}'"
    return note
