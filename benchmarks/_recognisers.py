"""The rectifiers of published recognisers at work: in torch, as they are or channels last, and exported."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import _aster
import _trba
import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Crops = Sequence[NDArray[np.uint8]]
Straighten = Callable[[Crops], Any]
ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "ASTER": (_aster.Aster, _aster.INPUT),
    "TRBA": (_trba.Trba, _trba.INPUT),
}


def rivals(batch: int, threads: int) -> dict[str, Straighten]:
    """Each architecture in each way, by what the table calls it."""
    torch.manual_seed(0)
    found: dict[str, Straighten] = {}
    for name, (make, size) in ARCHITECTURES.items():
        network = make().eval()
        found[f"{name}, torch eager"] = InTorch(network, size)
        found[f"{name}, torch eager, channels last"] = InTorch(network, size, channels_last=True)
        found[f"{name}, ONNX Runtime"] = InOnnxRuntime(network, size, batch=batch, threads=threads)
    return found


def prepared(crops: Crops, size: tuple[int, int]) -> Tensor:
    """Crops as these networks take them: resized, (n, 3, height, width) in [-1, 1], channels last in memory.

    The originals use Pillow and torchvision, one image after the other; this is faster.
    """
    resized = np.stack([cv2.resize(crop, size[::-1], interpolation=cv2.INTER_LINEAR) for crop in crops])
    return torch.from_numpy(resized).permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)


class InTorch:
    """A network run by torch, eager; images lie in memory as the originals have them, or channels last."""

    def __init__(self, network: nn.Module, size: tuple[int, int], *, channels_last: bool = False) -> None:
        self._network, self._size, self._channels_last = network, size, channels_last

    @torch.inference_mode()
    def __call__(self, crops: Crops) -> NDArray[np.float32]:
        images = prepared(crops, self._size)
        found: NDArray[np.float32] = self._network(
            images if self._channels_last else images.contiguous()
        ).numpy()
        return found


class InOnnxRuntime:
    """The same network, exported by torch.onnx for batches of one size; its GridSample is ONNX Runtime's."""

    def __init__(self, network: nn.Module, size: tuple[int, int], *, batch: int, threads: int) -> None:
        self._size = size
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        inputs = torch.rand(batch, 3, *size) * 2 - 1
        with TemporaryDirectory() as folder:
            path = Path(folder, "rival.onnx")
            _export(network, inputs, path)
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        with torch.inference_mode():
            expected = network(inputs).numpy()
        (found,) = self._session.run(None, {"images": inputs.numpy()})
        assert np.abs(found - expected).max() < 0.01, "exported as another network"

    def __call__(self, crops: Crops) -> NDArray[np.float32]:
        images = prepared(crops, self._size).contiguous().numpy()
        found: NDArray[np.float32] = self._session.run(None, {"images": images})[0]
        return found


def _export(network: nn.Module, inputs: Tensor, path: Path) -> None:
    """Without the remarks of the exporter, which are about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(network, (inputs,), path, input_names=["images"], dynamo=True, verbose=False)
        finally:
            logging.disable(logging.NOTSET)
