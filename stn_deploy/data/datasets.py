"""Text images with their transcripts, from a folder, a zip or an LMDB; bytes are read when asked for."""

from __future__ import annotations

import os
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stn_deploy.data.images import MAX_MEGAPIXELS, decode_image
from stn_deploy.data.labels import Row, read_labels
from stn_deploy.errors import DatasetError, MissingDependency

if TYPE_CHECKING:
    from types import TracebackType

LABELS = "labels.tsv"
LMDB_FILE = "data.mdb"


@dataclass(frozen=True, eq=False)
class Sample:
    """One text image of a dataset.

    Args:
        name: its file in the dataset, or its LMDB key.
        text: the transcript.
        quad: (4, 2) float32 (x, y) corners of the text, clockwise from top left, pixels; None if unknown.
        load: reads the bytes of the image file.
        points: (K, 2) float32 (x, y) control points, half along the top edge and half along the bottom edge,
            each left to right, pixels; None if unknown.
    """

    name: str
    text: str
    quad: NDArray[np.float32] | None
    load: Callable[[], bytes]
    points: NDArray[np.float32] | None = None

    def image(self, *, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
        """Read and decode the image: (height, width, 3) uint8, BGR.

        Raises:
            ImageError: the image cannot be used.
            DatasetError: its bytes cannot be read.
        """
        return decode_image(self.load(), max_megapixels=max_megapixels, name=self.name)


class Dataset:
    """A sequence of samples; a context manager; to be had from ``open_dataset``.

    It may be read from several threads, and pickled or forked into other processes.
    """

    def __init__(self, path: Path, rows: _Rows, store: _Store) -> None:
        self.path = path
        self._rows = rows
        self._store = store

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        name, text, *places = self._rows[index]
        quad, points = (
            None if place is None else np.array(place, np.float32).reshape(-1, 2) for place in places
        )
        return Sample(name, text, quad, partial(self._store.read, name), points)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def close(self) -> None:
        """Release the file; samples can no longer be loaded."""
        self._store.close()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Open a dataset.

    Folder or zip: images, and ``labels.tsv`` in UTF-8, tab separated, unquoted; its header row names the
    columns ``file`` and ``text``, optionally ``quad`` (``x1,y1,...,x4,y4``) and ``points`` (``x1,y1,...``,
    half along the top edge and half along the bottom edge), both in pixels, in any order and among others.
    LMDB: a folder with ``data.mdb``, keys ``num-samples``, ``image-%09d`` and ``label-%09d`` from 1.

    Args:
        path: the folder or zip.
    Returns:
        the dataset, its labels checked and every listed file present (an LMDB's samples when asked for).
    Raises:
        DatasetError: it is absent, damaged or empty, or lacks a file, a column or a sample.
        MissingDependency: it is an LMDB, and lmdb is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such dataset; expected a folder, a zip or an LMDB folder")
    if path.is_dir() and (path / LMDB_FILE).exists() and not (path / LABELS).exists():
        environment = _LmdbStore(path)
        return Dataset(path, _LmdbRows(environment, path), environment)
    store = _FolderStore(path) if path.is_dir() else _ZipStore(path)
    try:
        if not store.has(LABELS):
            raise DatasetError(
                f"{path}: expected {LABELS} at the top, found none; it lists the columns file and text"
            )
        rows = read_labels(f"{path}: {LABELS}", store.read(LABELS))
        for row in rows:
            if not store.has(row.name):
                raise DatasetError(f"{path}: {row.name} is listed in {LABELS} but absent")
    except BaseException:
        store.close()
        raise
    return Dataset(path, rows, store)


class _Rows(Protocol):
    """What a dataset lists."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


class _Store(Protocol):
    """Where the bytes of a dataset lie."""

    def read(self, name: str) -> bytes: ...

    def close(self) -> None: ...


class _FolderStore:
    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, name: str) -> bool:
        return os.path.isfile(self._path / name)  # noqa: PTH113, Path raises for too long a name

    def read(self, name: str) -> bytes:
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            raise DatasetError(f"{self._path}: {name} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        pass


class _ZipHandle(NamedTuple):
    archive: zipfile.ZipFile
    lock: threading.Lock
    process: int


class _ZipStore:
    def __init__(self, path: Path) -> None:
        self._path = path
        handle = self._open()
        self._handle: _ZipHandle | None = handle
        self._names = frozenset(handle.archive.namelist())

    def __reduce__(self) -> tuple[type[_ZipStore], tuple[Path]]:
        return _ZipStore, (self._path,)

    def _open(self) -> _ZipHandle:
        try:
            return _ZipHandle(zipfile.ZipFile(self._path), threading.Lock(), os.getpid())
        except OSError as error:
            raise DatasetError(f"{self._path}: cannot be read: {error.strerror}") from error
        except Exception as error:  # zipfile raises errors of many kinds for damaged data
            raise DatasetError(
                f"{self._path}: expected a folder or a zip, got a damaged zip or another file ({error})"
            ) from error

    def has(self, name: str) -> bool:
        return name in self._names

    def read(self, name: str) -> bytes:
        handle = self._handle
        if handle is None:
            raise DatasetError(f"{self._path}: the dataset is closed; open it again")
        if handle.process != os.getpid():  # after a fork, both processes would move one file position
            self._handle = handle = self._open()
        try:
            with handle.lock:
                return handle.archive.read(name)
        except Exception as error:  # of many kinds, as above; a password or an unknown compression too
            raise DatasetError(f"{self._path}: {name} cannot be unpacked: {error}") from error

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.archive.close()


class _LmdbStore:
    # LMDB must not be opened twice in one process: the stores of one folder share its environment, which
    # closes with the last of them. A forked process keeps reading through the one it inherits.
    _shared: ClassVar[weakref.WeakValueDictionary[Path, Any]] = weakref.WeakValueDictionary()
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path) -> None:
        self._path = path
        key = path.resolve()
        with self._lock:
            self._environment: Any = self._shared.get(key) or _open_lmdb(path)
            self._shared[key] = self._environment

    def __reduce__(self) -> tuple[type[_LmdbStore], tuple[Path]]:
        return _LmdbStore, (self._path,)

    def read(self, name: str) -> bytes:
        environment = self._environment
        if environment is None:
            raise DatasetError(f"{self._path}: the dataset is closed; open it again")
        with environment.begin() as transaction:
            value = transaction.get(name.encode())
        if value is None:
            raise DatasetError(f"{self._path}: expected the key {name}, found none")
        return bytes(value)

    def read_text(self, name: str) -> str:
        try:
            return self.read(name).decode()
        except UnicodeDecodeError:
            raise DatasetError(f"{self._path}: {name}: expected UTF-8, got {self.read(name)!r}") from None

    def close(self) -> None:
        self._environment = None


class _LmdbRows:
    """The rows of an LMDB, each read when asked for: there may be millions."""

    def __init__(self, store: _LmdbStore, path: Path) -> None:
        self._store = store
        count = store.read_text("num-samples")
        if not count.isdecimal() or int(count) == 0:
            raise DatasetError(f"{path}: num-samples: expected a number above 0, got {count!r}")
        self._count = int(count)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Row:
        if not -self._count <= index < self._count:
            raise IndexError(index)
        number = index % self._count + 1
        return Row(f"image-{number:09d}", self._store.read_text(f"label-{number:09d}"))


def _open_lmdb(path: Path) -> Any:
    try:
        import lmdb
    except ImportError:
        raise MissingDependency.of("lmdb", "ocr") from None
    try:
        environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise DatasetError(f"{path}: the LMDB cannot be opened: {error}") from None
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = (path / LMDB_FILE).stat().st_size
    if size < needed:  # reading past the end of the file would kill the process
        environment.close()
        raise DatasetError(
            f"{path}: {LMDB_FILE} is truncated: expected {needed} bytes, got {size}; copy it again"
        )
    return environment
