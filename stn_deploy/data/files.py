"""Writing files so that they are there completely or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file under a temporary name, then rename it; its folder is made if absent.

    Args:
        durable: wait until the disk has it, so that a power cut leaves this file or the older one; slow.
    Raises:
        OSError: it cannot be written; nothing is left behind, and an older file of the name is as it was.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
