"""``labels.tsv``: what a folder or a zip says of its images."""

from __future__ import annotations

import math
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple

from stn_deploy.errors import DatasetError


class Row(NamedTuple):
    """What ``labels.tsv`` says of one image; the numbers of a quad or of points one after the other."""

    name: str
    text: str
    quad: tuple[float, ...] | None = None
    points: tuple[float, ...] | None = None


def read_labels(where: str, data: bytes) -> list[Row]:
    """The rows of a ``labels.tsv``.

    Args:
        where: what error messages call it. data: the whole file.
    Raises:
        DatasetError: it is not UTF-8, lacks a column, or a row cannot be used.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{where}: expected UTF-8, got byte {data[error.start]:#04x} at {error.start}"
        ) from None
    # Not splitlines: a transcript may hold the rarer line separators of Unicode.
    header, *lines = (line.removesuffix("\r").split("\t") for line in text.split("\n"))
    if "file" not in header or "text" not in header:
        raise DatasetError(f"{where}: expected the columns file and text, got {', '.join(header) or 'none'}")
    if len(set(header)) != len(header):
        raise DatasetError(f"{where}: expected different columns, got {', '.join(header)}")
    rows = []
    for number, fields in enumerate(lines, start=2):
        if fields == [""]:
            continue
        if len(fields) != len(header):
            raise DatasetError(f"{where}, line {number}: expected {len(header)} columns, got {len(fields)}")
        values = dict(zip(header, fields, strict=True))
        if not _is_inside(values["file"]):
            raise DatasetError(
                f"{where}, line {number}: expected a file inside the dataset, got {values['file']!r}"
            )
        line = f"{where}, line {number}"
        rows.append(
            Row(
                values["file"],
                values["text"],
                _quad(line, values.get("quad")),
                _points(line, values.get("points")),
            )
        )
    if not rows:
        raise DatasetError(f"{where}: expected at least one sample, got none")
    return rows


def _is_inside(name: str) -> bool:
    windows = PureWindowsPath(name)  # its parts are split at both kinds of slashes
    return bool(PurePosixPath(name).parts) and not windows.anchor and ".." not in windows.parts


def _quad(where: str, field: str | None) -> tuple[float, ...] | None:
    if not field:
        return None
    values = _numbers(field)
    if len(values) != 8:
        raise DatasetError(f"{where}: quad: expected eight numbers x1,y1,...,x4,y4, got {field!r}")
    return values


def _points(where: str, field: str | None) -> tuple[float, ...] | None:
    if not field:
        return None
    values = _numbers(field)
    if len(values) < 8 or len(values) % 4:
        raise DatasetError(
            f"{where}: points: expected x1,y1,x2,y2,... of at least 4 points, half along the top edge "
            f"and half along the bottom edge, got {field!r}"
        )
    return values


def _numbers(field: str) -> tuple[float, ...]:
    """The finite numbers of a field, none where anything else is in it."""
    try:
        values = tuple(map(float, field.split(",")))
    except ValueError:
        return ()
    return values if all(map(math.isfinite, values)) else ()
