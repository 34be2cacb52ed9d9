"""Run the commands of a recipe: all at once, with a word on how far they are, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from stn_deploy.errors import EngineError, OutputError
from stn_deploy.plugins.library.recipe import AUTOLOAD, LIBRARY, Recipe, compiling, linking

_STEP = 0.05
"""Seconds between two looks at the compilers."""

Progress = Callable[[int, int, str], None]
"""Told how many steps of how many are done, and what is under way."""


def build_library(recipe: Recipe, folder: Path, progress: Progress | None = None) -> Path:
    """Compile `LIBRARY` and `AUTOLOAD` into a folder; both are complete or both absent, also after Ctrl-C and
    SIGTERM.

    Args:
        folder: must not exist yet; it is made.
        progress: told after each step.
    Returns:
        path of `LIBRARY`.
    Raises:
        EngineError: the compiler fails; the message has its last words.
        OutputError: the folder cannot be written.
    """
    with _staged(folder) as stage, _ended_in_order():
        objects = compiling(recipe, stage)
        count = len(objects) + len((LIBRARY, AUTOLOAD))
        tell = progress or (lambda done, steps, what: None)
        _run(objects, stage, count, 0, tell)
        try:
            _run(linking(recipe, stage, static=True), stage, count, len(objects), tell)
        except EngineError:
            _run(linking(recipe, stage, static=False), stage, count, len(objects), tell)
        for path in stage.iterdir():
            if path.name not in (LIBRARY, AUTOLOAD):
                path.unlink()
    return folder / LIBRARY


def expect_folder(folder: Path) -> None:
    """Refuse a folder that could not be made or written, before minutes are spent on what would go there.

    Raises:
        OutputError: a file is in its place or in its way, or writing is not allowed.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        raise OutputError(f"{folder}: cannot be written ({there} is no folder)")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: cannot be written ({there} does not allow it)")


def copy_library(library: Path, folder: Path) -> Path:
    """Copy `LIBRARY` and what lies beside it into another folder; each file is there whole or not at all.

    Returns:
        path of the copy.
    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as stage:
            for name in (AUTOLOAD, LIBRARY):
                copied = Path(shutil.copy2(library.with_name(name), stage))
                copied.rename(folder / name)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / LIBRARY


@contextlib.contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder beside the one that is wanted, which gets its name at the end, or goes."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    try:
        yield stage
        stage.chmod(0o755)
        stage.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM ends the process by way of its ``finally``, so that no compiler goes on alone."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(commands: dict[str, list[str]], stage: Path, count: int, done: int, tell: Progress) -> None:
    """Run commands, as many at once as there are cores; the compilers' own files lie in the stage, too."""
    waiting = list(commands.items())
    running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
    with tempfile.TemporaryDirectory(prefix="temporary.", dir=stage) as logs:
        try:
            while waiting or running:
                while waiting and len(running) < (os.cpu_count() or 1):
                    name, command = waiting.pop(0)
                    log = Path(logs) / f"{name}.log"
                    running[name] = _started(command, log), log
                    tell(done, count, name)
                for name, (process, log) in list(running.items()):
                    if process.poll() is not None:
                        del running[name]
                        _expect_success(name, process.returncode, log)
                        done += 1
                        tell(done, count, ", ".join(running) or name)
                time.sleep(_STEP)
        finally:
            for process, _ in running.values():  # nvcc has children of its own: their whole group goes
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        try:
            return subprocess.Popen(
                command,
                env={**os.environ, "TMPDIR": str(log.parent)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"{command[0]}: does not run ({error})") from error


def _expect_success(name: str, status: int, log: Path) -> None:
    if status:
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        raise EngineError(f"plugin library: {name} does not compile (exit status {status}):\n{said[-2000:]}")
