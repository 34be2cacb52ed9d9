"""Writing a dataset, a folder or a zip, so that it is there completely or not at all."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stn_deploy.errors import ArgumentError, OutputError

Write = Callable[[str, bytes], None]
"""Adds a file of a name to the set."""


@contextmanager
def new_set(path: Path) -> Iterator[Write]:
    """A folder, or a zip where the name ends in .zip; it appears when the block ends without an error.

    An empty folder that is there is filled when the block ends.

    Raises:
        ArgumentError: there is something already; an empty folder may be.
        OutputError: it cannot be written; nothing is left behind.
    """
    _refuse_existing(path)
    whole = Path(os.path.abspath(path))  # noqa: PTH100, a name such as "." or "x/.." has no sibling otherwise
    # A folder that is there stays: it may be a link, a mounted volume, or the working folder of a shell.
    is_there = path.is_dir()
    temporary = (whole if is_there else whole.parent) / f".{whole.name}.{os.getpid()}.part"
    written: list[str] = []

    def write(name: str, data: bytes) -> None:
        (temporary / name).write_bytes(data)
        written.append(name)

    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        if _is_zip(path):
            with zipfile.ZipFile(temporary, "x") as archive:  # stored: pictures are compressed already
                yield archive.writestr
        else:
            temporary.mkdir()
            yield write
        if is_there:
            _move(written, temporary, whole)
        else:
            temporary.replace(whole)
    except BaseException as error:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
        raise


def _move(names: list[str], source: Path, to: Path) -> None:
    """Move files into a folder in their order (labels are written last, so they come last); or none."""
    try:
        for name in names:
            (source / name).replace(to / name)
        source.rmdir()
    except BaseException:
        for name in names:
            with suppress(OSError):
                (to / name).unlink()
        raise


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _refuse_existing(path: Path) -> None:
    if _is_zip(path):
        if path.exists():
            raise ArgumentError(f"{path}: there is a file already; remove it, or name another")
    elif path.is_dir():
        if any(path.iterdir()):
            raise ArgumentError(
                f"{path}: expected an empty or absent folder, got one with files; name another"
            )
    elif path.exists():
        raise ArgumentError(f"{path}: expected a folder or a name that ends in .zip, got a file")
