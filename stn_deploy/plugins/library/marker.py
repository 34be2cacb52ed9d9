"""What a compiled plugin library says about itself to those who only read its file. Twin: library.cpp."""

from __future__ import annotations

import json
import mmap
import re
import string
from dataclasses import dataclass
from pathlib import Path

from stn_deploy.errors import EngineError
from stn_deploy.plugins.library.recipe import AUTOLOAD, LIBRARY

START = b"stn_deploy plugin {"
AGAIN = "build it again: stn-deploy plugin build"
_FORMAT = 1
_LONGEST = 4096
_LETTERS = string.ascii_lowercase
_FIELDS = ("tensorrt", "cuda", "architectures", "sources")


@dataclass(frozen=True, kw_only=True)
class LibraryInfo:
    """tensorrt, cuda: versions of the headers and the compiler that made it, such as 10.9.0 and 13.0.

    architectures: of the GPUs that it has code for: 86-real is machine code, 120-virtual text that the driver
    compiles for newer ones, and 86 is both. sources: digest of the sources, where the builder gave one.
    """

    path: Path
    tensorrt: str
    cuda: str
    architectures: tuple[str, ...]
    sources: str

    @property
    def major(self) -> int:
        """Of the TensorRT that it is for; one major version's library is not for another."""
        return int(self.tensorrt.split(".")[0])

    def runs_on(self, compute_capability: str) -> bool:
        """Whether it has code for a GPU, such as 8.6: that of its own generation, or text for older ones."""
        major, minor = (int(part) for part in compute_capability.split("."))
        for architecture in self.architectures:
            named, _, kind = architecture.partition("-")
            its_major, its_minor = divmod(int(named.rstrip(_LETTERS)), 10)
            if named[-1] in _LETTERS and (its_major != major or (named[-1] == "a" and its_minor != minor)):
                continue  # 90a is for 9.0 alone, 100f for 10.0 and the newer ones of its family
            if kind != "virtual" and its_major == major and its_minor <= minor:
                return True
            if kind != "real" and (its_major, its_minor) <= (major, minor):
                return True
        return False


def read_marker(path: Path) -> LibraryInfo:
    """What a library says about itself; it is not loaded, so it may be for another machine.

    Raises:
        EngineError: no such file, not a plugin library of this project, or of a newer one.
    """
    text = _marker_in(path)
    try:
        values = json.loads(text)
        if int(values["format"]) > _FORMAT:
            raise EngineError(
                f"{path}: was built by a newer stn-deploy; pip install --upgrade stn-deploy, or {AGAIN}"
            )
        tensorrt, cuda, architectures, sources = (str(values[name]) for name in _FIELDS)
        listed = tuple(filter(None, re.split("[,; ]+", architectures)))
        if not re.match(r"\d+\.\d+", tensorrt) or not all(
            re.fullmatch(r"\d{2,3}[a-z]?(-real|-virtual)?", item) for item in listed
        ):
            raise ValueError(text)
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"{path}: damaged; expected what a plugin library says of itself, got {text[:80]!r}; {AGAIN}"
        ) from error
    return LibraryInfo(path=path, tensorrt=tensorrt, cuda=cuda, architectures=listed, sources=sources)


def expect_for(info: LibraryInfo, tensorrt: str, *compute_capabilities: str) -> None:
    """Check that a library is for a TensorRT, and has code for GPUs.

    Args:
        tensorrt: version that is to load it. compute_capabilities: of the GPUs, where they are known.
    Raises:
        EngineError: it is for another major version, or has no code for one of the GPUs.
    """
    major = int(tensorrt.split(".")[0])
    if info.major != major:
        raise EngineError(
            f"{info.path}: was built for TensorRT {info.tensorrt}; expected one for TensorRT {tensorrt}, "
            f"which is to load it; {AGAIN}"
        )
    lacking = [each for each in compute_capabilities if not info.runs_on(each)]
    if lacking:
        architectures = ",".join(each.replace(".", "") for each in compute_capabilities)
        raise EngineError(
            f"{info.path}: has code for {', '.join(info.architectures) or 'no GPU'}; expected some for "
            f"{', '.join(lacking)}, which is to run it; {AGAIN} --architectures {architectures}"
        )


def _marker_in(path: Path) -> str:
    """The JSON of the marker, up to its NUL."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = data.find(START)
            text = data[found + len(START) - 1 : found + _LONGEST] if found >= 0 else b""
    except ValueError:  # an empty file cannot be mapped
        text = b""
    except OSError as error:
        raise EngineError(f"plugin library: {path} cannot be read ({error.strerror or error})") from error
    if not text and path.name == AUTOLOAD:
        raise EngineError(f"{path}: has TensorRT load {LIBRARY}, which lies beside it; name that one")
    if not text:
        raise EngineError(
            f"{path}: expected a plugin library of stn-deploy, got another file; build one with stn-deploy "
            "plugin build"
        )
    return text.split(b"\0")[0].decode("ascii", "replace")
