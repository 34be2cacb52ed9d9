"""The timing cache: kernels measured by earlier builds need not be measured again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stn_deploy.data import write_output
from stn_deploy.errors import EngineError
from stn_deploy.runtime.engines.libraries import Library, Log


def read_timing_cache(library: Library, config: Any, path: Path, log: Log) -> None:
    """Give a build the cache of earlier ones; an empty one where the file is not there yet.

    The file is TensorRT's own, as trtexec writes it. Its header holds version and GPU.

    Raises:
        EngineError: it cannot be read, or belongs to another version of TensorRT or another GPU.
    """
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        cache = config.create_timing_cache(data)
        taken = cache is not None and config.set_timing_cache(cache, ignore_mismatch=False)
    except (RuntimeError, TypeError):
        taken = False
    if not taken:
        raise EngineError(
            f"{path}: expected a timing cache of {library.name} {library.version} on this GPU, got one of "
            f"another version or GPU, or another file ({log.last(1)}); name another file or remove this one"
        )


def write_timing_cache(config: Any, path: Path) -> None:
    """Write the cache back, with what the build has measured.

    Raises:
        OutputError: it cannot be written.
    """
    data = bytes(memoryview(config.get_timing_cache().serialize()))
    write_output(path, data)
