"""What the commands share: consoles, sizes such as 32x100, progress bars."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stn_deploy.errors import ArgumentError, MissingDependency

output = Console()
"""Results."""
errors = Console(stderr=True)
"""Everything else, so that results can be piped."""


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


def progress_bar(*, counted: bool = True, noted: bool = False, shown: bool = True) -> Progress:
    """A progress bar on standard error.

    Args:
        counted: show how many of how many. noted: show the field ``note`` of each task.
        shown: False for one that says nothing.
    """
    middle = [MofNCompleteColumn()] if counted else []
    notes = [TextColumn("{task.fields[note]}")] if noted else []
    columns = [TextColumn("{task.description}"), BarColumn(), *middle, TimeRemainingColumn(), *notes]
    return Progress(*columns, console=errors, transient=True, disable=not shown)
