"""The tables, the summary and the picture that ``stn-deploy read --pages`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from stn_deploy.pictures import Picture, save_picture
from stn_deploy.runtime.ocr.page_crops import cut_plain
from stn_deploy.runtime.ocr.page_files import PageFile
from stn_deploy.runtime.ocr.pages import LineReading, PageReading
from stn_deploy.runtime.page_sheet import ShownLine, joined, page_sheet
from stn_deploy.wording import counted, one_line

_MOST_PAGES = 6


class PagesReport:
    """Collects readings of pages as they come; keeps pixels only where a picture was asked for."""

    def __init__(self, *, engine: str, second_opinion: bool, table: bool, picture: bool) -> None:
        """Args: engine: its name. table, picture: which of them will be asked for."""
        self.failed: list[str] = []
        self._title = f"{engine}, the more confident reading counts" if second_opinion else engine
        self._tables: list[dict[str, Any]] | None = [] if table else None
        self._picture = picture
        self._changed_pages: list[Picture] = []
        self._other_pages: list[Picture] = []
        self._read = self._unread = self._lines = self._straightened = self._changed = 0

    def add(self, reading: PageFile, line: dict[str, Any]) -> None:
        """Take one page in; ``line`` is its JSON line."""
        if self._tables is not None:
            self._tables.append(line)
        if reading.page is None:
            self.failed.append(reading.error or "")
            self._unread += 1
            return
        name = line["file"]
        broken = [each["error"] for each in line["lines"] if "error" in each]
        self.failed += [f"{name}: {error}" for error in broken]
        sound = [each for each in line["lines"] if "error" not in each]
        changed = sum(map(_is_changed, sound))
        self._read += 1
        self._lines += len(sound)
        self._straightened += sum(each["straightened"] for each in sound)
        self._changed += changed
        pages = self._changed_pages if changed else self._other_pages
        if self._picture and len(self._changed_pages) + (0 if changed else len(pages)) < _MOST_PAGES:
            pages.append(_sheet(reading.page, line))
            del self._other_pages[_MOST_PAGES - len(self._changed_pages) :]

    def summary(self) -> str:
        """One line: how many were read, straightened, and read otherwise for that."""
        of = f"{self._read} of " if self._unread else ""
        pages = counted(self._read + self._unread, "page")
        return (
            f"{counted(self._lines, 'line')} on {of}{pages} read, "
            f"{self._straightened} straightened, the text of {self._changed} changed"
        )

    def print(self, console: Console) -> None:
        """A table for each page, a row for each line; lines in which nothing was read are left out."""
        for page in self._tables or ():
            table = Table(title=f"{page['file']}: {self._title}", title_justify="left")
            for name in ("before", "after"):
                table.add_column(name, overflow="fold", min_width=8)
                table.add_column("sure", justify="right")
            table.add_column("kept")
            table.add_column("result")
            if "error" in page:
                table.add_row("", "", "", "", "", "error")
            for line in page.get("lines", ()):
                if "error" in line:
                    table.add_row("", "", "", "", "", "error")
                elif line["before"]["text"].strip() or line["after"]["text"].strip():
                    table.add_row(*_cells(line))
            console.print(table, markup=False)

    def write_picture(self, path: Path) -> str:
        """Write each page with the outlines of its lines, and the changed lines before and after.

        Returns:
            a sentence about what the picture shows.
        Raises:
            OutputError: it cannot be written.
        """
        pages = [*self._changed_pages, *self._other_pages]
        if not pages:
            return f"{path} is not written: there is nothing to show"
        save_picture(joined(pages, axis=0), path)
        few = f" {len(pages)} of them, those with changed lines first" if len(pages) < self._read else " them"
        return f"{path} shows{few}"


def _cells(line: dict[str, Any]) -> list[str]:
    cells = []
    for name in ("before", "after"):
        cells += [one_line(line[name]["text"]), f"{line[name]['confidence']:.2f}"]
    result = "changed" if _is_changed(line) else "straightened" if line["straightened"] else "untouched"
    return [*cells, line["kept"], result]


def _is_changed(line: dict[str, Any]) -> bool:
    return one_line(line["text"]) != one_line(line["before"]["text"])


def _sheet(page: PageReading, line: dict[str, Any]) -> Picture:
    pairs = [
        (each, shown) for each, shown in zip(page.lines, line["lines"], strict=True) if "error" not in shown
    ]
    lines = [_shown(page, each, shown) for each, shown in pairs]
    changed = sum(each.changed for each in lines)
    heading = f"{line['file']}: {counted(len(lines), 'line')}, the text of {changed} changed"
    return page_sheet(page.image, lines, heading)


def _shown(page: PageReading, line: LineReading, shown: dict[str, Any]) -> ShownLine:
    """A line for the sheet; crops only of those that are shown."""
    nothing = np.zeros((1, 1, 3), np.uint8)
    changed = _is_changed(shown)
    crop = cut_plain(page.image, line.plain).image if changed and line.plain is not None else nothing
    straight = line.both.result.image if changed and line.both is not None else nothing
    return ShownLine(
        outline=line.outline,
        straightened=line.straightened,
        changed=changed,
        before=crop,
        after=straight,
        notes=(_noted("before", shown), _noted("after", shown)),
    )


def _noted(place: str, line: dict[str, Any]) -> str:
    kept = ", kept" if line["kept"] == place else ""
    return f"'{one_line(line[place]['text'])}' {line[place]['confidence']:.2f}{kept}"
