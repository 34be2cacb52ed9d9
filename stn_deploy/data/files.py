"""Writing files so that they are there completely or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from stn_deploy.errors import OutputError


def write_whole(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file under a temporary name, then rename it; its folder is made if absent.

    Several may write the same file at once: it is that of the last of them.

    Args:
        durable: wait until the disk has it, so that a power cut leaves this file or the older one; slow.
    Raises:
        OSError: it cannot be written; nothing is left behind, and an older file of the name is as it was.
    """
    write_together({path: data}, durable=durable)


def write_output(path: Path, data: bytes) -> None:
    """`write_whole` of what a user asked for.

    Raises:
        OutputError: it cannot be written; the message has the path and the reason.
    """
    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_together(contents: Mapping[Path, bytes], *, durable: bool = False) -> None:
    """`write_whole` for files that make sense together only: all are written before one gets its name.

    Raises:
        OSError: one cannot be written; none of them is left behind. Older files are as they were, unless it
            was a rename that failed.
    """
    # Under a name of its own: another writer of the same file would rename a half-written one.
    token = secrets.token_hex(4)
    parts = {path: path.with_name(f".{path.name}.{token}.part") for path in contents}
    named: list[Path] = []
    try:
        for path, part in parts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(contents[path])
            if durable:
                with part.open("rb+") as file:
                    os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
            named.append(path)
    except BaseException:
        some = named if len(named) < len(parts) else []
        for left in (*parts.values(), *some):
            with contextlib.suppress(OSError):
                left.unlink()
        raise
