"""PNG files of pictures."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from stn_deploy.data import as_bgr, write_whole
from stn_deploy.errors import ArgumentError, OutputError
from stn_deploy.pictures.drawing import Picture


def save_picture(picture: Picture, path: str | os.PathLike[str]) -> None:
    """Write a picture as a PNG file, whole or not at all; its folder is made if absent.

    Args:
        picture: (h, w), (h, w, 1) or (h, w, 3) uint8, BGR.
        path: ends in .png.
    Raises:
        ArgumentError: another ending, or not a picture.
        OutputError: the file cannot be written; nothing is left behind, and an older file stays as it was.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ArgumentError(f"path: expected a name that ends in .png, got {path.name!r}")
    image = as_bgr(picture)
    try:
        encoded, data = cv2.imencode(".png", image)
        if not encoded:
            raise OSError("OpenCV cannot encode it")
        write_whole(path, data.tobytes())
    except (OSError, ValueError, cv2.error) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{path}: the picture cannot be written ({reason}); name a file in a folder that you may write"
        ) from error
