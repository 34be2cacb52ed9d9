"""What ``verify`` compares, and that it notices what is wrong."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from stn_deploy.artifact import EngineRecord, Profile, read_artifact
from stn_deploy.errors import ArgumentError, ArtifactError
from stn_deploy.export import Comparison, verify
from stn_deploy.export.hostile import hostile_thetas
from stn_deploy.export.limits import Limits, batches
from stn_deploy.export.passes import Pass, float16, freeze, inline_function, rewrite
from stn_deploy.runtime import DEFAULT_MODEL
from stn_deploy.runtime.engines import Localisation
from stn_deploy.runtime.engines.engine_file import EngineFile
from stn_deploy.runtime.engines.ort import OrtFullGraph
from stn_deploy.training import save_checkpoint
from stn_deploy.training.rectifier import TextRectifier
from tests.pictures import Image, noise, smooth

verify_module = importlib.import_module("stn_deploy.export.verification")
FULL, SPLIT = "ONNX Runtime, full graph", "ONNX Runtime + OpenCV, split"
CROPS: list[Image] = [smooth(31, 90), smooth(50, 41, seed=1), noise(24, 77)]


def changed(tmp_path: Path, *passes: Pass) -> Path:
    path = tmp_path / "changed.onnx"
    rewrite(DEFAULT_MODEL, path, *passes)
    return path


def on_crops(comparisons: list[Comparison]) -> list[Comparison]:
    return [item for item in comparisons if item.theta is not None]


def hostile(comparisons: list[Comparison]) -> list[Comparison]:
    return [item for item in comparisons if item.theta is None]


def test_each_path_is_compared_at_several_sizes_and_with_hostile_thetas() -> None:
    comparisons = verify(DEFAULT_MODEL, images=CROPS)
    assert all(item.passed for item in comparisons)
    for path in (FULL, SPLIT):
        own = [item for item in on_crops(comparisons) if item.path == path]
        assert {item.batch for item in own} == {1, 3}
        assert len({item.canvas for item in own}) == 4
        assert [item.path for item in hostile(comparisons)].count(path) == 1


def test_the_error_of_theta_is_told_in_pixels_of_the_source() -> None:
    for item in on_crops(verify(DEFAULT_MODEL, images=CROPS)):
        assert item.theta is not None
        assert item.theta_pixels is not None
        # Normalised units are half the image's width or height; a distance has two parts.
        assert item.theta * 24 / 2 <= item.theta_pixels + 1e-4
        assert item.theta_pixels <= item.theta * 90 / 2 * np.sqrt(2) + 1e-4


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"batch": 5}, {(5, None)}),
        ({"canvas": (40, 60)}, {(1, (40, 60)), (3, (40, 60))}),
        ({"batch": 2, "canvas": (64, 128)}, {(2, (64, 128))}),
    ],
    ids=["batch", "canvas", "both"],
)
def test_a_frozen_file_is_compared_at_the_size_that_it_takes(
    settings: dict[str, object], sizes: set[tuple[int, object]], tmp_path: Path
) -> None:
    comparisons = verify(changed(tmp_path, partial(freeze, **settings)), images=CROPS)  # type: ignore[arg-type]
    assert all(item.passed for item in comparisons)
    found = {(item.batch, item.canvas if "canvas" in settings else None) for item in comparisons}
    assert found == sizes


def test_lower_precision_is_measured_in_heights_of_the_text(tmp_path: Path) -> None:
    comparisons = verify(changed(tmp_path, float16), images=CROPS)
    own = on_crops(comparisons)
    assert all(item.passed for item in comparisons)
    assert max(item.theta or 0 for item in own) > 1e-5
    assert all(0 < (item.theta_heights or 0) < 0.01 for item in own)


def edit(model: ModelProto, op_type: str, **attributes: object) -> ModelProto:
    """A copy whose nodes of a type have other attributes."""
    model = inline_function(model)
    for node in model.graph.node:
        if node.op_type == op_type:
            for item in node.attribute:
                if item.name in attributes:
                    item.CopyFrom(onnx.helper.make_attribute(item.name, attributes[item.name]))
    return model


def without_mask(model: ModelProto) -> ModelProto:
    """A copy whose sampler forgets what is not finite, and reads there what it pleases."""
    model = inline_function(model)
    masks = [node for node in model.graph.node if node.op_type == "Where"]
    last = masks[-1]
    last.op_type = "Identity"
    del last.input[2], last.input[0]
    return model


def test_another_border_is_noticed_by_hostile_thetas_alone(tmp_path: Path) -> None:
    """A sampler that differs only far outside, or where theta is NaN, passes on kind crops."""
    comparisons = verify(changed(tmp_path, without_mask), images=CROPS)
    assert all(item.passed for item in on_crops(comparisons))
    assert [item.passed for item in hostile(comparisons)] == [False, True]


def test_another_sampling_is_noticed_on_crops(tmp_path: Path) -> None:
    shifted = changed(tmp_path, partial(edit, op_type="GridSample", align_corners=1))
    comparisons = verify(shifted, images=CROPS)
    assert not any(item.passed for item in comparisons if item.path == FULL)


class StandIn:
    """An engine with a profile, whose numbers come from ONNX Runtime and are off by ``error`` of 255."""

    error = 0.0

    def __init__(self, engine: EngineFile) -> None:
        self.record = engine.record
        self.graph = OrtFullGraph(DEFAULT_MODEL.read_bytes())

    def run(self, images: Image, extents: np.ndarray) -> tuple[np.ndarray, Localisation]:
        self.record.profile.expect(len(images), (images.shape[1], images.shape[2]))
        rectified, found = self.graph.run(images, extents)
        return rectified + self.error / 127.5, found

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def engine_file(path: Path) -> EngineFile:
    _, spec = read_artifact(DEFAULT_MODEL)
    record = EngineRecord(
        backend="tensorrt",
        version="10.13.3.9",
        gpu="a GPU",
        compute_capabilities=("8.6",),
        hardware_compatible=False,
        version_compatible=False,
        precision=spec.precision,
        profile=Profile(batch=(2, 2, 2), canvas=((64, 128), (64, 128), (64, 128))),
        workspace=None,
        plugin=None,
        model=DEFAULT_MODEL.name,
        spec=spec,
        sha256="",
        size=0,
        layers=(),
        stn_deploy="0",
    )
    return EngineFile(path=path, data=b"", record=record)


@pytest.mark.parametrize(("error", "passed"), [(0.0, True), (3.0, False)])
def test_an_engine_is_compared_within_its_profile(
    error: float, passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StandIn, "error", error)
    monkeypatch.setattr(verify_module, "open_engine", engine_file)
    monkeypatch.setattr(verify_module, "TrtFullGraph", StandIn)
    comparisons = verify(DEFAULT_MODEL, images=CROPS, engines=[Path("mine.engine")])
    own = [item for item in comparisons if item.path == "tensorrt 10.13.3.9, mine.engine"]
    assert {(item.batch, item.canvas) for item in own} == {(2, (64, 128))}
    assert {item.passed for item in own} == {passed}
    assert all(item.passed for item in comparisons if item not in own)


def test_a_checkpoint_of_another_number_of_control_points_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_checkpoint(TextRectifier(replace(read_artifact(DEFAULT_MODEL)[1], control_points=10)), path)
    with pytest.raises(ArtifactError, match=r"other\.safetensors: .*with 20 control points, got one with 10"):
        verify(DEFAULT_MODEL, checkpoint=path)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("name", ["theta", "theta_heights", "score"])
def test_what_is_no_number_never_passes_whatever_the_bound(name: str, bad: float) -> None:
    fine = Comparison(
        path="x",
        batch=1,
        canvas=(5, 7),
        theta=0.5,
        theta_pixels=3.0,
        theta_heights=0.5,
        score=0.1,
        pixels=0.2,
        precision="float16",
        largest_heights=np.inf,
    )
    assert fine.passed
    changed_field: dict[str, Any] = {name: bad}
    assert not replace(fine, **changed_field).passed


def test_no_crop_is_refused() -> None:
    with pytest.raises(ArgumentError, match="images: expected at least one crop, got none"):
        verify(DEFAULT_MODEL, images=[])


def test_hostile_thetas_are_what_they_say() -> None:
    _, spec = read_artifact(DEFAULT_MODEL)
    thetas = hostile_thetas(spec, 6)
    assert np.abs(thetas["far outside"]).max() > 100
    assert np.abs(thetas["absurdly far"]).max() > 1e19
    for name, test in (("NaN", np.isnan), ("infinite", np.isinf)):
        bad = test(thetas[name])
        assert bad.sum(axis=(1, 2)).tolist() == [1, 0, 1, 0, 1, 0]
        assert bad.any(axis=(0, 1)).all()  # x and y
    assert all(theta.shape == (6, spec.control_points, 2) for theta in thetas.values())


def test_batches_keep_within_the_limits_of_an_engine() -> None:
    profile = Profile(batch=(2, 4, 4), canvas=((32, 64), (48, 64), (48, 80)))
    found = batches(CROPS, Limits.of_engine(profile))
    for batch in found:
        profile.expect(len(batch.crops), batch.canvas)
        assert batch.images.dtype == np.uint8
    assert {len(batch.crops) for batch in found} == {2, 3}
    assert len({batch.canvas for batch in found}) > 1


def test_a_huge_picture_makes_no_huge_canvas() -> None:
    found = batches([np.zeros((3000, 5000, 3), np.uint8)], Limits())
    assert all(max(batch.canvas) <= 2048 for batch in found)
