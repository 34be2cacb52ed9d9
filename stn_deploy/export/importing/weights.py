"""Opening the weights of others without running anything that is in the file."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from stn_deploy.errors import ArtifactError
from stn_deploy.export.importing.arrays_only import load_arrays

Arrays = dict[str, NDArray[np.float64]]

_CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "module")
"""Under these names training programs keep the weights beside their optimiser and their history."""

_DEEPEST = 16
"""Containers in containers; one that holds itself has no end."""

_BESIDE = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.dtypes.Float64DType",
    "numpy.dtypes.Float32DType",
    "numpy.dtypes.Int64DType",
)
"""What MMOCR and ASTER.pytorch save beside the weights: logs. Each is read as `_Unread`."""


class _Unread:
    """Takes the place of an object beside the weights: whatever the file says of it is thrown away."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def open_weights(path: Path) -> Arrays:
    """All arrays of floating point in a file of weights, by name.

    ``.pth``, ``.pt``, ``.tar`` and ``.bin`` are opened by torch with weights only, ``.pdparams`` by a reader
    that knows of nothing but arrays, ``.safetensors`` and ``.npz`` by theirs. Nothing in the file is run.

    Raises:
        ArtifactError: no such file, another format, damaged, with code in it, or without arrays.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise ArtifactError(
            f"{path}: expected weights in one of {', '.join(_READERS)}, got {suffix or 'no suffix'}; "
            "exported models (.onnx, .pdmodel, .pdiparams) have lost the names of their layers"
        )
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; expected the weights of a recogniser")
    found: Arrays = {}
    for name, values in _READERS[suffix](path):
        if values.dtype.kind == "f":
            found[name] = values.astype(np.float64)
    if not found:
        raise ArtifactError(f"{path}: expected weights by name, found none")
    return found


def _from_torch(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    allowed: list[Any] = [(_Unread, name) for name in _BESIDE]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its readers of zips, pickles and tensors raise
        raise ArtifactError(f"{path}: cannot be opened with weights only: {_reason(error)}") from error
    for name, value in _unpacked(content).items():
        if isinstance(value, torch.Tensor) and value.layout == torch.strided and value.is_floating_point():
            yield str(name), value.detach().double().resolve_neg().numpy()


def _reason(error: Exception) -> str:
    """What is wrong and how to mend it, without torch's advice to open the file without care."""
    if beside := re.search(r"GLOBAL ([\w.]*\w)", str(error)):
        return (
            f"it holds more than weights, {beside[1]}; where you trust the file, keep its weights alone: "
            "torch.save(torch.load(file, weights_only=False)['state_dict'], new_file)"
        )
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or not a file of torch.save; copy it again"
    reason = re.split(r"\n|(?<=\w)\. ", str(error).strip())[0] or type(error).__name__
    return f"it is damaged, or not a file of torch.save ({reason}); copy it again"


def _unpacked(content: object) -> Mapping[Any, Any]:
    """The mapping from names to tensors inside of containers."""
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in _CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return content
        content = inner
    return {}


def _from_safetensors(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                yield name, file.get_tensor(name).float().numpy()
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: not a readable safetensors file ({error})") from error


def _from_numpy(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    try:
        with path.open("rb") as opened:  # numpy leaves a damaged file open that it opened itself
            file = np.load(opened, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("a single array")
            for name in file.files:
                yield name, file[name]
    except Exception as error:  # each step of reading a zip has errors of its own, and sizes may be lies
        raise ArtifactError(f"{path}: not a readable .npz file of plain arrays ({error})") from error


def _from_paddle(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    yield from load_arrays(path).items()


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, NDArray[Any]]]]] = {
    ".pth": _from_torch,
    ".pt": _from_torch,
    ".tar": _from_torch,
    ".bin": _from_torch,
    ".safetensors": _from_safetensors,
    ".pdparams": _from_paddle,
    ".npz": _from_numpy,
}
