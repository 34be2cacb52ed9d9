"""Image files -> straightened files, one JSON line each; one bad file never spoils the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from pathlib import Path

from stn_deploy.data import MAX_MEGAPIXELS, FoundImage, find_images
from stn_deploy.errors import ArgumentError, OutputError
from stn_deploy.runtime.folder_group import GROUP, FileResult, GroupStraightener, Task, output_error
from stn_deploy.runtime.folder_journal import (
    JOURNAL,
    LINES,
    Journal,
    lines_that_hold,
    remove_leftovers,
    settings_digest,
)
from stn_deploy.runtime.overlap import overlapped
from stn_deploy.runtime.pipeline import checked_workers, grouped
from stn_deploy.runtime.rectifier import Rectifier

__all__ = ["LINES", "SHEET", "FileResult", "other_images", "rectify_files"]

SHEET = "sheet.png"
_LOSSLESS = ".png"
_WRITABLE = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


def rectify_files(
    found: Sequence[FoundImage],
    rectifier: Rectifier,
    output: Path,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    workers: int | None = 1,
    skip_existing: bool = False,
    begun: Callable[[int], None] = lambda _: None,
    done: Callable[[FileResult], None] = lambda _: None,
) -> int:
    """Straighten files into a folder, under the same relative names and in the same formats.

    A file that needs no straightening is copied byte for byte; crops of a rectifier with ``exif`` are
    upright. Formats that OpenCV does not write become PNG. Besides the images the folder receives
    ``rectified.jsonl``, in the order of the inputs. The number of workers changes no byte of the images.

    A run that is stopped leaves whole files. What it has done is listed: in ``rectified.jsonl``, or, where it
    was killed, in a journal that a later run with ``skip_existing`` reads.

    Args:
        found: see `stn_deploy.data.find_images`.
        output: made if absent. Files in it are replaced, never the inputs.
        max_megapixels: larger images are refused.
        workers: threads that read, straighten and write; None as in `Pipeline`.
        skip_existing: leave alone what an earlier run has done: its output is there, and neither the input
            (size, time of modification) nor the settings, the model or this package are others since.
        begun: called once, with the number of files that are skipped.
        done: called with each result, in order, in the calling thread.
    Returns:
        number of files that could not be straightened; each has its line with the error.
    Raises:
        OutputError: the folder cannot be written; what was finished stays, with its lines.
    """
    workers = checked_workers(workers)
    converted = _converted_names(found)
    _prepare(found, converted, output)
    settings = settings_digest(rectifier.settings)
    kept: dict[int, bytes] = {}
    try:
        remove_leftovers(
            output, [*(image.relative for image in found), *converted, Path(LINES), Path(JOURNAL)]
        )
        if skip_existing:
            names = zip((image.relative for image in found), converted, strict=True)
            kept = lines_that_hold(output, zip(found, names, strict=True), settings)
        journal = Journal(output, kept)
    except OSError as error:
        raise output_error(output, error) from error
    begun(len(kept))
    work = GroupStraightener(rectifier, output, journal, settings=settings, max_megapixels=max_megapixels)
    tasks = [Task(*each) for each in zip(range(len(found)), found, converted, strict=True)]
    failures = 0
    try:
        with closing(_results(tasks, kept, work, workers)) as results:
            for result in results:
                failures += result.error is not None
                done(result)
    finally:
        # Also after a failure: the lines tell which files are there.
        try:
            journal.finish()
        except OSError as error:
            raise output_error(output / LINES, error) from error
    return failures


def _results(
    tasks: Sequence[Task], kept: dict[int, bytes], work: GroupStraightener, workers: int
) -> Generator[FileResult, None, None]:
    """Results in order; groups are the same whatever is skipped, and so are their bytes."""
    groups = grouped(iter(tasks), lambda task: task.source.path, most=GROUP)
    left = ([task for task in group if task.place not in kept] for group in groups)
    fresh = overlapped(
        filter(None, left), work, workers=workers, ahead=workers + 2, name="stn-deploy rectify"
    )
    with closing(fresh):
        for task in tasks:
            if task.place not in kept:
                yield next(fresh)
            else:
                line = json.loads(kept[task.place])
                yield FileResult(source=task.source, output=Path(line["output"]), kept=line)


def other_images(output: Path, listed: Collection[str], *, inputs: Sequence[FoundImage] = ()) -> int:
    """How many images an output folder holds that are neither results nor inputs: those of earlier runs.

    Args:
        listed: the outputs that ``rectified.jsonl`` names. inputs: may lie under the folder as well.
    """
    try:
        found = find_images([output])
    except ArgumentError:  # none at all, or a folder that cannot be read
        return 0
    given, known = {image.path.resolve() for image in inputs}, {*listed, SHEET}
    others = [image for image in found if image.relative.as_posix() not in known]
    return sum(image.path.resolve() not in given for image in others)


def _prepare(found: Sequence[FoundImage], converted: Sequence[Path], output: Path) -> None:
    """Make the folder, and refuse to write over the inputs."""
    inputs = {image.path.resolve(): image.path for image in found}
    for name in (*(image.relative for image in found), *converted, Path(LINES), Path(JOURNAL)):
        victim = inputs.get((output / name).resolve())
        if victim is not None:
            raise OutputError(
                f"{output}: would write over its own input {victim}; name another output folder"
            )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(output, error) from error


def _converted_names(found: Sequence[FoundImage]) -> list[Path]:
    """Where each file goes if it is straightened: its own name, or a PNG that no other file claims."""
    taken = {image.relative for image in found}
    names = []
    for image in found:
        name = image.relative
        if name.suffix.lower() not in _WRITABLE:
            name = image.relative.with_suffix(_LOSSLESS)
            if name in taken:
                name = image.relative.with_name(image.relative.name + _LOSSLESS)
            taken.add(name)
        names.append(name)
    return names
