"""Compile the plugin library: the two files that CMakeLists.txt makes, too, by nvcc and no other tool."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stn_deploy.errors import EngineError, OutputError
from stn_deploy.plugins.library.compiler import Compiler
from stn_deploy.plugins.library.headers import Headers

LIBRARY = "libstn_deploy_plugin.so"
"""What TensorRT loads."""
AUTOLOAD = "libstn_deploy_plugin_autoload.so"
"""For programs that only dlopen() their plugins; it has TensorRT load the other one, which lies beside it."""
EXPORTED = "getCreators; setLoggerFinder;"
_HERE = Path(__file__).resolve().parent
_KERNELS = _HERE.parent / "kernels"
_STEP = 0.05

Progress = Callable[[int, int, str], None]
"""Told how many steps of how many are done, and what is under way."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides what is in the library.

    headers, compiler: what it is made with. architectures: as `Compiler.chosen` gives them.
    """

    headers: Headers
    compiler: Compiler
    architectures: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name of a folder for it: what a person wants to know, and a digest of all."""
        minor = ".".join(self.headers.version.split(".")[:2])
        whole = "\n".join(
            (sources_digest(), self.headers.version, self.compiler.version, *self.architectures)
        )
        return (
            f"tensorrt-{minor}-cuda-{self.compiler.version}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
        )


def sources() -> list[Path]:
    """All files that go into the library: what is compiled, and what that includes."""
    own = [path for pattern in ("*.cpp", "*.h") for path in _HERE.glob(pattern)]
    kernels = [path for pattern in ("*.cu", "*.cuh", "*.h") for path in _KERNELS.glob(pattern)]
    return sorted(own) + sorted(kernels)


def sources_digest() -> str:
    """SHA-256 of the sources, by their names and bytes."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.parent.name}/{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build_library(recipe: Recipe, folder: Path, progress: Progress | None = None) -> Path:
    """Compile `LIBRARY` and `AUTOLOAD` into a folder; both are complete or both absent, also after Ctrl-C.

    Args:
        folder: must not exist yet; it is made.
        progress: told after each step.
    Returns:
        path of `LIBRARY`.
    Raises:
        EngineError: the compiler fails; the message has its last words.
        OutputError: the folder cannot be written.
    """
    with _staged(folder) as stage:
        objects, links = _commands(recipe, stage)
        count = len(objects) + len(links)
        tell = progress or (lambda done, steps, what: None)
        _run(objects, count, 0, tell)
        _run(links, count, len(objects), tell)
        for path in stage.iterdir():
            if path.name not in (LIBRARY, AUTOLOAD):
                path.unlink()
    return folder / LIBRARY


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


def _commands(recipe: Recipe, stage: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What compiles each source, and what links each library, by what the user is told of it."""
    nvcc = str(recipe.compiler.nvcc)
    codes = []
    for architecture in recipe.architectures:
        number, _, kind = architecture.partition("-")
        target = f"compute_{number}" if kind == "virtual" else f"sm_{number}"
        codes += ["-gencode", f"arch=compute_{number},code={target}"]
    common = [nvcc, "-std=c++17", "-O3", "-DNDEBUG", "--compiler-options=-fPIC,-fvisibility=hidden"]
    common += ["-isystem", str(recipe.headers.include)]
    said = {"ARCHITECTURES": ",".join(recipe.architectures), "SOURCES": sources_digest()}
    marker = [f'-DSTN_DEPLOY_{name}="{text}"' for name, text in said.items()]
    compiled = {}
    for source in [*sorted(_HERE.glob("*.cpp")), _KERNELS / "launch.cu"]:
        extra = ["--threads", "0", *codes] if source.suffix == ".cu" else []
        extra += marker if source.name == "library.cpp" else []
        compiled[source.name] = [*common, *extra, "-c", str(source), "-o", str(stage / f"{source.stem}.o")]
    # The kernels take longest, so they begin first.
    objects = dict(sorted(compiled.items(), key=lambda item: not item[0].endswith(".cu")))

    links = {}
    folders = [f"-L{folder}" for folder in recipe.compiler.library_folders()]
    for name, exported in ((LIBRARY, f"global: {EXPORTED}"), (AUTOLOAD, "")):
        script = stage / f"{name}.map"
        script.write_text(f"{{ {exported} local: *; }};\n")
        parts = ["autoload.o"] if name == AUTOLOAD else [f"{Path(item).stem}.o" for item in objects]
        parts = [str(stage / part) for part in parts if (part == "autoload.o") == (name == AUTOLOAD)]
        options = [
            "-shared",
            "-cudart",
            "static",
            *folders,
            f"-Xlinker=--version-script={script},--no-undefined",
        ]
        options += ["-Xcompiler=-static-libstdc++,-static-libgcc", *codes]
        links[name] = [nvcc, *options, *parts, "-o", str(stage / name), "-ldl"]
    return objects, links


def _run(commands: dict[str, list[str]], count: int, done: int, tell: Progress) -> None:
    """Run commands, as many at once as there are cores."""
    waiting = list(commands.items())
    running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
    with tempfile.TemporaryDirectory() as logs:
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
