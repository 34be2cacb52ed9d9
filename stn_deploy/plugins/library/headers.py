"""Where TensorRT's C++ headers are, and of which version: its Python packages come without them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stn_deploy.errors import EngineError

HEADER = "NvInfer.h"
SYSTEM = (
    "/usr/include",
    "/usr/local/tensorrt",
    "/usr/local/TensorRT",
    "/opt/tensorrt",
    "/opt/TensorRT",
    "/usr/local/include",
)
HOW_TO_GET = (
    "they come with TensorRT's tar, deb or rpm packages and its containers, not with pip: "
    "apt install libnvinfer-dev, or unpack the tar and name it (--tensorrt FOLDER, or TENSORRT_ROOT)"
)


@dataclass(frozen=True)
class Headers:
    """include: folder that holds NvInfer.h. version: such as 10.9.0."""

    include: Path
    version: str

    @property
    def major(self) -> int:
        """Of the version."""
        return int(self.version.split(".")[0])


def find_headers(
    root: Path | None = None, *, major: int | None = None, environment: Mapping[str, str] | None = None
) -> Headers:
    """TensorRT's headers.

    Args:
        root: of TensorRT, or the folder of the headers itself; where it is given, nothing else is looked at.
            By default what TENSORRT_ROOT names, else where the system's packages put them.
        major: version that is wanted; headers of another one are passed over.
        environment: of the process by default.
    Raises:
        EngineError: none of them are there, or only others.
    """
    variables = os.environ if environment is None else environment
    named = root or (Path(variables["TENSORRT_ROOT"]) if variables.get("TENSORRT_ROOT") else None)
    others = []
    for folder in _folders([named] if named else [Path(each) for each in SYSTEM]):
        version = _version(folder)
        if version is None:
            continue
        headers = Headers(folder, version)
        if headers.major < 10:
            others.append(f"{version} in {folder}, older than 10.0")
        elif major is not None and headers.major != major:
            others.append(f"{version} in {folder}")
        else:
            return headers
    wanted = f"TensorRT {major}" if major else "TensorRT 10.0 or newer"
    where = f"in {named}" if named else "among the system's headers"
    found = f"only {', '.join(others)}" if others else "none"
    raise EngineError(f"{HEADER}: expected the headers of {wanted} {where}, found {found}; {HOW_TO_GET}")


def _folders(roots: list[Path]) -> Iterator[Path]:
    for root in roots:
        for folder in (root, root / "include"):
            yield folder
            yield folder / f"{platform.machine()}-linux-gnu"


def _version(folder: Path) -> str | None:
    """What NvInferVersion.h says, where NvInfer.h is beside it. Since 10.13 by way of other names."""
    if not (folder / HEADER).is_file():
        return None
    try:
        text = (folder / "NvInferVersion.h").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    defined = dict(re.findall(r"^#define\s+(\w+)\s+(\w+)", text, re.MULTILINE))
    numbers = [defined.get(f"NV_TENSORRT_{part}", "") for part in ("MAJOR", "MINOR", "PATCH")]
    numbers = [defined.get(number, number) for number in numbers]
    return ".".join(numbers) if all(number.isdigit() for number in numbers) else None
