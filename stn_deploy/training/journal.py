"""What a training tells: a line and a picture for each epoch, and the curves of TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from stn_deploy.data import write_whole
from stn_deploy.errors import MissingDependency, OutputError
from stn_deploy.pictures import Picture, save_picture
from stn_deploy.training.run_folder import RunFolder

_EVERY = 50
"""Steps between two points of a curve."""


class Journal:
    """metrics.jsonl, samples/ and tensorboard/ of a training; a context manager."""

    def __init__(self, folder: RunFolder, *, epochs: int, step: int) -> None:
        """Open the journal after so many epochs and steps; what was written beyond them is taken back.

        Raises:
            MissingDependency: tensorboard is not installed.
            OutputError: the folder cannot be written.
        """
        self._folder = folder
        self._lines = _whole_lines(folder.metrics)[:epochs]
        self._write_lines()
        try:
            self._curves = summary_writer()(str(folder.events), purge_step=step + 1 if step else None)
        except OSError as error:
            raise _unwritable(folder.events, error) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._curves.close()

    def step(self, step: int, *, loss: float, learning_rate: float) -> None:
        """Note a step; most are not drawn."""
        if step % _EVERY == 0:
            self._curves.add_scalar("step/loss", loss, step)
            self._curves.add_scalar("step/learning_rate", learning_rate, step)

    def epoch(self, epoch: int, step: int, values: Mapping[str, float], picture: Picture) -> None:
        """Note the end of an epoch (from 1).

        Raises:
            OutputError: the folder cannot be written.
        """
        save_picture(picture, self._folder.samples / f"epoch_{epoch:03d}.png")
        for name, value in values.items():
            self._curves.add_scalar(f"epoch/{name}", value, step)
        self._curves.add_image("samples", np.ascontiguousarray(picture[..., ::-1]), step, dataformats="HWC")
        self._curves.flush()
        self._lines.append(json.dumps({"epoch": epoch, **values}))
        self._write_lines()

    def _write_lines(self) -> None:
        try:
            write_whole(self._folder.metrics, "".join(line + "\n" for line in self._lines).encode())
        except OSError as error:
            raise _unwritable(self._folder.metrics, error) from error


def summary_writer() -> Any:
    """The class that writes the files of TensorBoard.

    Raises:
        MissingDependency: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingDependency.of(error.name or "tensorboard", "train") from error
    return SummaryWriter


def last_line(path: Path) -> dict[str, float]:
    """The values of the last epoch in a metrics.jsonl; none before the first."""
    lines = _whole_lines(path)
    values: dict[str, float] = json.loads(lines[-1]) if lines else {}
    return values


def _whole_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written ({error.strerror or error})")
