"""An exported file back into torch: the architecture from the spec, the weights from the file."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from stn_deploy.artifact import read_artifact
from stn_deploy.errors import ArtifactError
from stn_deploy.export.weights import stored_weights
from stn_deploy.training.checkpoint import build_rectifier
from stn_deploy.training.published import PublishedRectifier
from stn_deploy.training.rectifier import TextRectifier

_PREFIX = "rectifier."


def rectifier_from_artifact(path: Path) -> TextRectifier | PublishedRectifier:
    """The torch rectifier whose export the file is, in evaluation mode.

    The exporter folds each batch norm into the convolution before it; here the fold is undone the other way
    round, by a batch norm that only adds the bias. So the file can be verified against torch, and training
    can go on from it, without a checkpoint. Of a file in float16 or INT8 the weights are those that it holds,
    rounded; the rectifier computes in float32.

    Raises:
        ArtifactError: not an exported rectifier, or its weights do not fit the architecture that it names.
    """
    data, spec = read_artifact(path)
    stored = {
        name.removeprefix(_PREFIX): torch.from_numpy(values.copy())
        for name, values in stored_weights(onnx.load_from_string(data)).items()
        if name.startswith(_PREFIX)
    }
    rectifier = build_rectifier(spec)
    weights = rectifier.state_dict()
    for name, module in rectifier.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            before = name.rsplit(".", 1)[0] + f".{int(name.rsplit('.', 1)[1]) - 1}"
            stored[f"{name}.bias"] = stored.pop(f"{before}.weight_bias", weights[f"{name}.bias"])
            stored[f"{name}.weight"] = torch.ones_like(weights[f"{name}.weight"])
            stored[f"{name}.running_mean"] = torch.zeros_like(weights[f"{name}.running_mean"])
            stored[f"{name}.running_var"] = torch.ones_like(weights[f"{name}.running_var"]) - module.eps
            stored[f"{name}.num_batches_tracked"] = weights[f"{name}.num_batches_tracked"]
    stored = {name: value for name, value in stored.items() if name in weights}
    try:
        rectifier.load_state_dict(stored)
    except RuntimeError as error:
        raise ArtifactError(
            f"{path}: the weights in the file do not fit the architecture it names: {error}"
        ) from error
    return rectifier.eval()
