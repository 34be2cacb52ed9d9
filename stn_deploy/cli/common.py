"""What the commands share: consoles, sizes such as 32x100, checks of outputs, progress bars."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from stn_deploy.errors import ArgumentError, MissingDependency, OutputError

output = Console(markup=False)
"""Results."""
errors = Console(stderr=True, markup=False)
"""Everything else, so that results can be piped. Neither takes [brackets] in a name for a style."""


def print_json(value: Any) -> None:
    """Write a value as JSON to standard output, unstyled."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def parse_size(text: str | None, option: str = "--size") -> tuple[int, int] | None:
    """(height, width) of a text such as 32x100; None of None.

    Raises:
        ArgumentError: another form.
    """
    if text is None:
        return None
    matched = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if matched is None or not all(1 <= int(side) <= 8192 for side in matched.groups()):
        raise ArgumentError(
            f"{option}: expected HEIGHTxWIDTH in pixels, each 1 to 8192, such as 32x100; got {text!r}"
        )
    return int(matched[1]), int(matched[2])


def checked_output(to: Path, *inputs: Path | None, suffix: str) -> None:
    """Refuse an output before any work is done, so that nothing is lost and nobody waits for nothing.

    Args:
        to: that is to be written. inputs: that must not be written over. suffix: of the name; no other is
            taken, for the file would be mistaken for one of another kind.
    Raises:
        OutputError: a folder, one of the inputs, or a name with another suffix.
    """
    if to.is_dir():
        raise OutputError(
            f"{to}: is a folder; expected the name of a file to write, such as {to}/new{suffix}"
        )
    for each in inputs:
        if each is not None and to.exists() and each.exists() and to.samefile(each):
            raise OutputError(f"{to}: would write over {each}, which it is made from; name another file")
    if to.suffix.lower() != suffix:
        raise OutputError(f"{to}: expected a name that ends in {suffix}, got {to.suffix or 'no suffix'}")


def expect_model(path: Path) -> None:
    """Refuse an engine where an exported file is expected.

    Raises:
        ArgumentError: it has the record of an engine beside it.
    """
    from stn_deploy.artifact import read_record, sidecar_of

    if path.suffix != ".onnx" and sidecar_of(path).exists():
        model = read_record(path).model
        raise ArgumentError(f"{path}: is an engine; expected the .onnx file that it was built from, {model}")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports inside that fail name the extra that would have installed the package.

    Raises:
        MissingDependency: a module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependency.of(error.name or "a package", extra) from error


def print_left_out(unusable: Iterable[str]) -> None:
    """Say on standard error what could not be used, a line each, and why."""
    for line in unusable:
        errors.print(f"left out: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


class _Rate(ProgressColumn):
    """Things per second, of late."""

    def __init__(self, things: str) -> None:
        self._things = things
        super().__init__()

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.{0 if speed >= 10 else 1}f} {self._things}/s")


def progress_bar(
    *, counted: bool = True, noted: bool = False, rate_of: str | None = None, shown: bool = True
) -> Progress:
    """A progress bar on standard error.

    Args:
        counted: show how many of how many. noted: show the field ``note`` of each task.
        rate_of: what is counted, to show how many a second; None for no rate.
        shown: False for one that says nothing.
    """
    rates = [_Rate(rate_of)] if rate_of else []
    middle = [MofNCompleteColumn()] if counted else []
    notes = [TextColumn("{task.fields[note]}")] if noted else []
    columns = [TextColumn("{task.description}"), BarColumn(), *middle, *rates, TimeRemainingColumn(), *notes]
    return Progress(*columns, console=errors, transient=True, disable=not shown)
