"""TensorRT's own Python module for plugins, and what its bindings do that must be lived with."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from stn_deploy.errors import EngineError


def python_plugins(trt: Any) -> Any:
    """The module ``tensorrt.plugin``.

    Raises:
        EngineError: it does not load.
    """
    try:
        with _standard_output_kept():  # it says there that it is experimental, in the midst of what is piped
            return importlib.import_module("tensorrt.plugin")
    except ImportError as error:
        raise EngineError(
            f"TensorRT {trt.__version__}: tensorrt.plugin does not load ({error}); install it again"
        ) from error


def reads_arrays(trt: Any) -> bool:
    """Whether attributes of several numbers arrive whole.

    With NumPy 2 they do not in TensorRT 10: its bindings were made for NumPy 1 and repeat the first number.
    """
    values = np.array([1, 2], np.int32)
    field = trt.PluginField("probe", values, trt.PluginFieldType.INT32)
    return np.array_equal(field.data, values)


def mended_size(size: list[int], points: list[int | None]) -> list[int]:
    """The output's size, of which only the first length arrived; the basis has a row for each position.

    Args:
        size: as it arrived. points: rows of the basis, None or empty where they are not known yet.
    Raises:
        EngineError: of three lengths two cannot be told.
    """
    if len(size) == 3:
        raise EngineError(
            "output_size: the bindings of this TensorRT read but one of three lengths with NumPy 2; install "
            "'numpy<2', a newer TensorRT, or build the plugin as a library: stn-deploy plugin build"
        )
    if len(size) == 2 and size[0] > 0 and points and points[0] is not None:
        return [size[0], points[0] // size[0]]
    return size


@contextlib.contextmanager
def _standard_output_kept() -> Iterator[None]:
    """What C++ code prints inside goes to standard error."""
    try:
        kept = os.dup(1)
    except OSError:  # it is closed
        yield
        return
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
