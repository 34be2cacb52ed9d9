"""Libraries that were built here before, each in a folder of its own that never changes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from stn_deploy.errors import EngineError, OutputError
from stn_deploy.plugins.library.build import Progress, build_library
from stn_deploy.plugins.library.marker import LibraryInfo, read_marker
from stn_deploy.plugins.library.recipe import AUTOLOAD, LIBRARY, Recipe, sources_digest


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where libraries are kept: in XDG_CACHE_HOME, ~/.cache by default.

    Raises:
        OutputError: the user has neither, as in a container that is run under any number.
    """
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_CACHE_HOME", "")
    try:
        start = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:  # and not a folder that others can write to: what lies there is loaded
        raise OutputError(
            "plugin library: expected a home folder to keep it in, found none; set XDG_CACHE_HOME to a "
            "folder of your own"
        ) from error
    return start / "stn-deploy" / "plugins"


def cached_libraries(folder: Path) -> list[LibraryInfo]:
    """Libraries in the folders within a folder, of the sources of today; others are passed over."""
    found = []
    for path in sorted(folder.glob(f"*/{LIBRARY}")):
        with contextlib.suppress(EngineError):
            info = read_marker(path)
            if info.sources == sources_digest():
                found.append(info)
    return found


def cached_files(environment: Mapping[str, str] | None = None) -> list[Path]:
    """All libraries in the cache, of whatever sources: an engine needs the one that it was built with."""
    try:
        return sorted(cache_folder(environment).glob(f"*/{LIBRARY}"))
    except OutputError:  # there is no cache
        return []


def cached_build(recipe: Recipe, folder: Path, progress: Progress | None = None) -> Path:
    """The library of a recipe, built where it is not there, or not whole; of several processes one builds.

    Args:
        folder: of the cache.
    Raises:
        EngineError: the compiler fails. OutputError: the cache cannot be written.
    """
    wanted = folder / recipe.key
    if not _is_whole(wanted):
        with _locked(folder / f"{recipe.key}.lock", progress):
            if not _is_whole(wanted):
                for left in (wanted, *folder.glob(f".{recipe.key}.*")):  # by a process that was killed, too
                    shutil.rmtree(left, ignore_errors=True)
                build_library(recipe, wanted, progress)
    return wanted / LIBRARY


def _is_whole(folder: Path) -> bool:
    try:
        read_marker(folder / LIBRARY)
    except EngineError:
        return False
    return (folder / AUTOLOAD).is_file()


@contextlib.contextmanager
def _locked(path: Path, progress: Progress | None) -> Iterator[None]:
    """Alone among processes; the kernel gives the lock back when one dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise OutputError(
            f"{path.parent}: cannot be written ({error.strerror or error}); XDG_CACHE_HOME names another "
            "place for the cache"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress is not None:
                progress(0, 1, "waiting for another process that builds it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # some file systems of a network have no locks
            raise OutputError(
                f"{path}: cannot be locked ({error.strerror or error}); set XDG_CACHE_HOME to a folder of "
                "this machine"
            ) from error
        yield
