"""The PTX text of a kernel, as a version of TensorRT can take it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from stn_deploy.errors import EngineError
from stn_deploy.plugins.launch.plan import Kernel

PTX = Path(__file__).resolve().parent.parent / "kernels" / "ptx"
KEEPS_NAMES = (10, 14)
"""Older ones forget a kernel's name: what Python returned is freed before it is read, unless it is short.
Source: NVIDIA/TensorRT, python/src/infer/pyPlugin.cpp, getKernel, in releases 10.13 and 10.14."""
SHORT = "stn_deploy"
"""What the kernel is called there; a text of up to 15 characters lies within its std::string."""


class Compiled(NamedTuple):
    """name: of the kernel within ``text``. file, sha256: where the text came from."""

    name: str
    text: str
    file: str
    sha256: str


def compiled(kernel: Kernel, release: tuple[int, ...]) -> Compiled:
    """The text that holds a kernel.

    Args:
        kernel: from `stn_deploy.plugins.launch.plan.kernel_for`. release: of TensorRT, such as (10, 13, 3).
    Raises:
        EngineError: the package lacks the file, or the file lacks the kernel.
    """
    path = PTX / f"{kernel.module}.ptx"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EngineError(
            f"{path}: cannot be read ({error.strerror or error}); install stn-deploy again, which has it"
        ) from error
    text = data.decode("ascii", "replace")
    if re.search(rf"\.entry\s+{kernel.name}\b", text) is None:
        raise EngineError(f"{path}: expected the kernel {kernel.name}, found none; install stn-deploy again")
    name = kernel.name
    if release < KEEPS_NAMES:
        # Its parameters are named after it. \b: other kernels of the file begin with the same letters.
        text = re.sub(rf"\b{name}(?=\b|_param_\d)", SHORT, text)
        name = SHORT
    return Compiled(name, text, path.name, hashlib.sha256(data).hexdigest())
