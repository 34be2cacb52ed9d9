"""What a run into a folder has done so far: on disk at once, so that a later run goes on from there.

Each line has what its file was made from: size and modification time of the input, size of the output, and a
digest of the settings. A line holds as long as all of these are as they were.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from stn_deploy import __version__
from stn_deploy.data import FoundImage, write_whole

LINES = "rectified.jsonl"
JOURNAL = f".{LINES}.part"
Line = dict[str, Any]
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part", re.DOTALL)


def settings_digest(settings: Mapping[str, object]) -> str:
    """A short name of settings, for this version of the package."""
    text = json.dumps({**settings, "version": __version__}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def input_stamp(path: Path) -> Line:
    """What a changed input differs in. Raises OSError."""
    status = path.stat()
    return {"source_bytes": status.st_size, "source_modified": status.st_mtime_ns // 1000}


def lines_that_hold(
    output: Path, found: Iterable[tuple[FoundImage, Collection[Path]]], settings: str
) -> dict[int, bytes]:
    """Of inputs that an earlier run has done, also one that was killed: the lines, by the inputs' places.

    Args:
        output: the folder. settings: `settings_digest` of this run.
        found: each input, with the names that its output may have.
    Returns:
        lines as they stand in the file: parsed, those of a long run would fill the memory.
    """
    inputs = {image.relative.as_posix(): (place, image, names) for place, (image, names) in enumerate(found)}
    holds: dict[int, bytes] = {}
    for name in (LINES, JOURNAL):  # the journal is the newer one
        with contextlib.suppress(FileNotFoundError), (output / name).open("rb") as lines:
            for text in lines:
                with contextlib.suppress(ValueError):  # a run may be killed while it writes
                    line = json.loads(text)
                    if not isinstance(line, dict) or str(line.get("file")) not in inputs:
                        continue
                    place, image, names = inputs[str(line["file"])]
                    holds.pop(place, None)
                    if line.get("settings") == settings and _holds(line, output, image, names):
                        holds[place] = text.rstrip(b"\n") + b"\n"  # the last one may have lost it
    return holds


def _holds(line: Line, output: Path, image: FoundImage, names: Collection[Path]) -> bool:
    if str(line.get("output")) not in {name.as_posix() for name in names}:
        return False
    try:
        written = (output / line["output"]).stat().st_size
        return bool(written == line.get("bytes") and line.items() >= input_stamp(image.path).items())
    except OSError:
        return False


def remove_leftovers(output: Path, names: Iterable[Path]) -> None:
    """Remove what a killed run was writing: temporary files of these names under the output folder."""
    by_folder: dict[Path, set[str]] = {}
    for name in names:
        by_folder.setdefault((output / name).parent, set()).add(name.name)
    for folder, wanted in by_folder.items():
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                matched = _TEMPORARY.fullmatch(entry.name)
                if matched is not None and matched[1] in wanted:
                    Path(entry.path).unlink()


class Journal:
    """The lines of a run: appended as files are done, by any thread; at the end in the inputs' order."""

    def __init__(self, output: Path, kept: Mapping[int, bytes]) -> None:
        """Begin, with the lines of an earlier run that still hold, by place. Raises OSError."""
        self._output = output
        self._lock = threading.Lock()
        self._spans: dict[int, tuple[int, int]] = {}  # of places: start and end in the file
        self._end = 0
        write_whole(output / JOURNAL, self._taken_up(kept))
        self._file = (output / JOURNAL).open("r+b", buffering=0)

    def add(self, lines: Mapping[int, Line]) -> None:
        """Append lines, by place, together: a killed run leaves all of them or none. Raises OSError."""
        with self._lock:
            start = self._end
            try:
                left = self._taken_up({place: _encoded(line) for place, line in lines.items()})
                self._file.seek(start)
                while left:
                    left = left[self._file.write(left) :]
            except OSError:  # of a full disk
                self._end = start
                for place in lines:
                    self._spans.pop(place, None)
                self._file.truncate(start)
                raise

    def finish(self) -> None:
        """Write ``rectified.jsonl`` in the order of the inputs; the journal goes. Raises OSError."""
        part = self._output / f".{LINES}.{secrets.token_hex(4)}.part"
        with self._lock, self._file:
            try:
                with part.open("wb") as ordered:
                    for _, (start, end) in sorted(self._spans.items()):
                        self._file.seek(start)
                        ordered.write(self._file.read(end - start))
                part.replace(self._output / LINES)
            except BaseException:
                with contextlib.suppress(OSError):
                    part.unlink()
                raise
            (self._output / JOURNAL).unlink(missing_ok=True)

    def _taken_up(self, lines: Mapping[int, bytes]) -> bytes:
        """What to write for lines at the end of the file."""
        for place, data in lines.items():
            self._spans[place] = (self._end, self._end + len(data))
            self._end += len(data)
        return b"".join(lines.values())


def _encoded(line: Line) -> bytes:
    return (json.dumps(line, ensure_ascii=False) + "\n").encode()
