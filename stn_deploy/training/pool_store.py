"""Rendered pictures on the disk while a training runs, so that --resume need not render them again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import write_whole
from stn_deploy.errors import OutputError

if TYPE_CHECKING:
    from stn_deploy.training.real import RealWord
    from stn_deploy.training.text_pool import TextWord

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class PoolStore:
    """A folder of arrays, one file for each part.

    folder: made when the first part is written. digest: of all that the parts follow from; a part of another
    digest is not found.
    """

    folder: Path
    digest: str

    def write(self, part: str, arrays: Arrays) -> None:
        """Keep a part: whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        data, named = io.BytesIO(), dict[str, Any](arrays)
        np.savez(data, **named)
        try:
            write_whole(self._file(part), data.getvalue())
        except OSError as error:
            raise OutputError(
                f"{self.folder}: the rendered pictures cannot be kept ({error.strerror or error}); "
                "make room, or name an output folder on another disk"
            ) from error

    def read(self, part: str) -> dict[str, NDArray[Any]] | None:
        """A part that was kept; None where there is none, or a damaged one."""
        try:
            # A zip, which checks its CRC; opened here, for NumPy leaves a damaged one open.
            with self._file(part).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def remove(self) -> None:
        """Remove all parts, of any digest, and the folder."""
        for file in self.folder.glob("*.npz"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # someone else's files are in it, or there is none
            self.folder.rmdir()

    def _file(self, part: str) -> Path:
        return self.folder / f"{part}-{self.digest[:12]}.npz"


def digest_of(parts: Iterable[object]) -> str:
    """SHA-256 of settings, texts and arrays, hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.shape} {part.dtype}".encode() + part.tobytes())
        else:
            digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()


def digest_of_words(words: Iterable[RealWord | TextWord]) -> str:
    """SHA-256 of words: all their fields."""
    return digest_of(getattr(word, field.name) for word in words for field in dataclasses.fields(word))
