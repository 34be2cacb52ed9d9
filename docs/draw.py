"""Runs the Python blocks of a page one after another, in a folder of their own, and keeps the pictures.

    python docs/draw.py docs/spatial_transformer.md

The samples of the repository are there as ``samples/``. What the page shows from ``images/`` is copied there.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent


def run_page(page: Path, folder: Path) -> dict[str, Any]:
    """Run the Python blocks of ``page`` with ``folder`` as the current one; returns their names."""
    text = page.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    (folder / "samples").symlink_to(DOCS.parent / "samples")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            # Empty lines in front, so that a traceback names the line of the page.
            above = text[: block.start(1)].count("\n")
            exec(compile("\n" * above + block[1], str(page), "exec"), names)
    finally:
        os.chdir(before)
    return names


def pictures_of(page: Path) -> list[str]:
    """File names of the PNG pictures that a page shows from ``images/``."""
    return re.findall(r"!\[[^\]]*\]\(images/([^)]+\.png)\)", page.read_text(encoding="utf-8"))


def main(page: Path) -> None:
    """Draw the pictures of a page anew."""
    with tempfile.TemporaryDirectory() as folder:
        run_page(page, Path(folder))
        for name in pictures_of(page):
            shutil.copy(Path(folder) / name, DOCS / "images" / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
