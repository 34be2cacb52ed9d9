"""How far ``stn-deploy build`` is: a bar for the build, and one for each phase within that is under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import Progress as Bars
from rich.progress import TaskID

from stn_deploy.cli.common import errors, progress_bar

if TYPE_CHECKING:
    from stn_deploy.export.engine import Progress


@contextmanager
def watching(builder: str) -> Iterator[Progress]:
    """What suits standard error. builder: name of the library, for those who read a log."""
    if errors.is_terminal:
        with progress_bar() as bars:
            yield PhaseBars(bars)
    else:
        errors.print(f"building with {builder}", highlight=False, soft_wrap=True)
        with progress_bar(shown=False) as bars:
            yield PhaseBars(bars)


class PhaseBars:
    """Bars that come and go with the phases, each below the one that it is part of."""

    def __init__(self, bars: Bars) -> None:
        """Draw on ``bars``."""
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, int]] = {}

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        """Another bar, indented below its parent."""
        self.end(phase)
        depth = self._tasks[parent][1] + 1 if parent in self._tasks else 0
        self._tasks[phase] = self._bars.add_task(f"{'  ' * depth}{phase}", total=max(steps, 1)), depth

    def step(self, phase: str, done: int) -> None:
        """Move its bar."""
        if phase in self._tasks:
            self._bars.update(self._tasks[phase][0], completed=done)

    def end(self, phase: str) -> None:
        """Its bar goes, save for that of the whole build."""
        task, depth = self._tasks.pop(phase, (None, 0))
        if task is not None and depth:
            self._bars.remove_task(task)
