"""How far ``stn-deploy train`` is: bars on a terminal, plain lines in a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import Progress, TaskID

from stn_deploy.cli.common import errors, progress_bar


class Watcher(Protocol):
    """Looks on while a training runs."""

    def report(self, phase: str, part: float, note: str) -> None:
        """So much of a phase is done, in [0, 1]."""

    def after_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """An epoch (from 1) is done; values: its line of metrics.jsonl."""


@contextmanager
def watching(*, epochs: int, shown: bool) -> Iterator[Watcher]:
    """What suits standard error. epochs: of the training. shown: False for one that says nothing."""
    if shown and not errors.is_terminal:
        yield PlainLines(errors, epochs=epochs)
    else:
        with progress_bar(counted=False, noted=True, shown=shown) as bar:
            yield _Bars(bar)


class PlainLines:
    """A line for each tenth of the rendering, and for each epoch with its loss and errors."""

    def __init__(self, console: Console, *, epochs: int) -> None:
        self._console = console
        self._epochs = epochs
        self._tenths = 0

    def report(self, phase: str, part: float, note: str) -> None:  # noqa: ARG002, its epochs tell of a training
        """A line where another tenth of the rendering is full."""
        tenths = int(part * 10 + 1e-9)
        if phase == "rendering" and tenths > self._tenths:
            self._tenths = tenths
            self._print(f"rendering: {10 * tenths} %")

    def after_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """A line for the epoch; errors in text heights, mean and 90th percentile."""
        found = [f"loss {values['loss']:.4f}"]
        for kind in ("rendered", "real"):
            if f"{kind}_error" in values:
                mean, high = values[f"{kind}_error"], values[f"{kind}_error_p90"]
                found.append(f"error on {kind} words {mean:.4f} (90th percentile {high:.4f})")
        self._print(f"epoch {epoch} of {self._epochs}: {', '.join(found)}")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


class _Bars:
    """A bar for each phase."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def report(self, phase: str, part: float, note: str) -> None:
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(phase, total=1.0, note="")
        self._bar.update(self._tasks[phase], completed=part, note=note)

    def after_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Nothing: the bar goes on."""
