"""Checkpoints come back as they went in; whatever is not one is refused."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stn_deploy.artifact import METADATA_KEY
from stn_deploy.errors import ArtifactError, OutputError
from stn_deploy.training import TextRectifier, load_checkpoint, save_checkpoint


@pytest.fixture
def saved(rectifier: TextRectifier, tmp_path: Path) -> Path:
    path = tmp_path / "run" / "checkpoint.safetensors"
    save_checkpoint(rectifier, path)
    return path


def test_weights_and_spec_come_back(saved: Path, rectifier: TextRectifier) -> None:
    again = load_checkpoint(saved)
    assert not again.training
    assert again.spec == rectifier.spec
    expected = rectifier.state_dict()
    found = again.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_nothing_but_the_checkpoint_is_left_behind(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize("name", ["file/x.safetensors", "file/deeper/x.safetensors"])
def test_a_place_that_cannot_be_written_is_an_output_error(
    name: str, rectifier: TextRectifier, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"x\.safetensors: the checkpoint could not be written"):
        save_checkpoint(rectifier, tmp_path / name)


def test_truncated_checkpoints_are_refused(saved: Path) -> None:
    data = saved.read_bytes()
    for length in (0, 1, 7, 8, 9, 200, len(data) // 2, len(data) - 1):
        saved.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match=r"checkpoint\.safetensors: not a readable safetensors file"):
            load_checkpoint(saved)


def test_what_is_taken_for_a_checkpoint_is_told_where_it_belongs(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is a folder; expected a file in it, .*checkpoint\.safetensors"):
        load_checkpoint(saved.parent)
    for name, belongs in (("model.onnx", "verify and build"), ("best.pth", "stn-deploy import")):
        (tmp_path / name).write_bytes(b"something else, long enough")
        with pytest.raises(ArtifactError, match=rf"{name}: not a readable .*{belongs}"):
            load_checkpoint(tmp_path / name)


class Trap:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return pytest.fail, ("a pickle was executed",)


def test_pickles_are_refused_and_not_executed(tmp_path: Path) -> None:
    plain, by_torch = tmp_path / "plain.pt", tmp_path / "model.pt"
    plain.write_bytes(pickle.dumps(Trap()))
    torch.save({"weights": torch.zeros(3)}, by_torch)
    for path in (plain, by_torch):
        with pytest.raises(ArtifactError, match=f"{path.name}: not a readable safetensors file"):
            load_checkpoint(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weights": torch.zeros(3)}, path)
    with pytest.raises(
        ArtifactError, match=r"foreign\.safetensors: a safetensors file, but not a checkpoint"
    ):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"localisation": {"channels": [8, 12, 16, 16], "dense": 25}},
        {"localisation": {"channels": [8, 12, 16]}},
        {"localisation": {"depth": 3}},
        {"thumbnail_size": (32, 64)},
        {"thumbnail_size": (30, 64)},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_the_spec_are_refused(
    change: dict, rectifier: TextRectifier, tmp_path: Path
) -> None:
    path = tmp_path / "misfit.safetensors"
    spec = dataclasses.replace(rectifier.spec, **change)
    save_file(rectifier.state_dict(), path, metadata={METADATA_KEY: spec.to_json()})
    with pytest.raises(ArtifactError):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file; expected a checkpoint"):
        load_checkpoint(tmp_path / "nothing.safetensors")


def test_an_untrained_rectifier_finds_the_whole_image(rectifier: TextRectifier) -> None:
    from stn_deploy.geometry import control_point_targets

    fresh = TextRectifier(rectifier.spec).eval()
    with torch.inference_mode():
        found = fresh(torch.rand(2, 3, 16, 40) * 255, torch.tensor([[30.0, 90.0], [64.0, 50.0]]))
    assert np.abs(found.points.numpy() - control_point_targets(14)).max() < 1e-6
    assert found.score.tolist() == [0.0, 0.0]
    assert (found.theta.abs() > 1).any()
