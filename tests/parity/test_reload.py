"""An exported file read back into torch is the rectifier that was exported."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from stn_deploy.artifact import METADATA_KEY, read_artifact, seal, wire
from stn_deploy.errors import ArtifactError
from stn_deploy.export import rectifier_from_artifact
from stn_deploy.training import AnyRectifier, TextRectifier, load_checkpoint, save_checkpoint
from tests.tolerances import SCORE, THETA


def random_inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    thumbnails = torch.rand(6, 3, 16, 40, generator=generator) * 255
    return thumbnails, torch.rand(6, 2, generator=generator) * 200 + 5


@torch.inference_mode()
def assert_same(first: AnyRectifier, second: AnyRectifier) -> None:
    inputs = random_inputs()
    one, other = first(*inputs), second(*inputs)
    assert (one.theta - other.theta).abs().max() < THETA
    assert (one.points - other.points).abs().max() < THETA
    assert (one.score - other.score).abs().max() < SCORE


def test_it_gives_the_same_theta_and_score(model: Path, rectifier: TextRectifier) -> None:
    again = rectifier_from_artifact(model)
    assert not again.training
    assert again.spec == read_artifact(model)[1]
    assert_same(rectifier, again)


def test_its_batch_norms_only_add(model: Path) -> None:
    """The scale is folded into the convolution before; a second one would count twice."""
    norms = [
        item for item in rectifier_from_artifact(model).modules() if isinstance(item, torch.nn.BatchNorm2d)
    ]
    assert len(norms) == 4
    for norm in norms:
        values = torch.full((1, norm.num_features, 1, 1), 1000.0)
        assert (norm(values)[0, :, 0, 0] - norm.bias - 1000).abs().max() < 1e-3


def test_it_can_be_saved_and_trained_on(model: Path, rectifier: TextRectifier, tmp_path: Path) -> None:
    again = rectifier_from_artifact(model)
    save_checkpoint(again, tmp_path / "again.safetensors")
    assert_same(rectifier, load_checkpoint(tmp_path / "again.safetensors"))
    assert isinstance(again, TextRectifier)
    again.train().predict_points(*random_inputs()).sum().backward()
    gradients = [parameter.grad for parameter in again.parameters()]
    assert all(gradient is not None and np.isfinite(gradient.numpy()).all() for gradient in gradients)


@pytest.mark.parametrize(
    "localisation",
    [{"channels": [8, 12, 16, 16], "dense": 25}, {"channels": [8, 12, 16, 18], "dense": 24}, {"depth": 3}],
    ids=str,
)
def test_weights_that_do_not_fit_the_architecture_are_refused(
    localisation: dict, model: Path, tmp_path: Path
) -> None:
    data, spec = read_artifact(model)
    other = dataclasses.replace(spec, localisation=localisation)
    path = tmp_path / "other.onnx"
    sealed = dataclasses.replace(other, digest=seal(data, other.to_json()))
    path.write_bytes(wire.with_metadata(data, METADATA_KEY, sealed.to_json()))
    with pytest.raises(ArtifactError, match=r"do not fit"):
        rectifier_from_artifact(path)
