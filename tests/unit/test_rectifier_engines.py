"""A rectifier whose model runs elsewhere, and the two precisions that ship."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stn_deploy.artifact import read_artifact
from stn_deploy.errors import ArgumentError, ArtifactError, ClosedError, EngineError
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier, pack_canvas
from stn_deploy.runtime.engines import Straightened
from stn_deploy.runtime.engines.ort import OrtFullGraph
from stn_deploy.runtime.rectifier import INT8_MODEL
from tests.pictures import Image, smooth

OUTPUT = (24, 70)
"""What the whole graph of the file makes."""
LARGEST = 300
"""Images with longer sides are too large for the canvas of the engine, pixels."""


class OnCanvas:
    """An engine as a GPU has it: the whole graph on one canvas, what is too large is shrunk."""

    def __init__(self, model: Path) -> None:
        self.graph = OrtFullGraph(model.read_bytes())
        self.asked: list[bool] = []
        self.closed = False

    def straighten(self, images: Sequence[Image], *, rectified: bool = True) -> Straightened:
        self.asked.append(rectified)
        sampled = np.array([max(image.shape) <= LARGEST for image in images])
        fitting = [
            image if whole else np.ascontiguousarray(image[::4, ::4])
            for image, whole in zip(images, sampled, strict=True)
        ]
        crops, found = self.graph.run(*pack_canvas(fitting))
        assert not sampled.all() or len(images) == len(crops)
        crops[~sampled] = np.nan  # nobody may look at them
        return Straightened(found, crops if rectified else None, sampled)

    def close(self) -> None:
        self.closed = True


def elsewhere(model: Path, **settings: object) -> tuple[Rectifier, OnCanvas]:
    rectifier = Rectifier(model, **settings)  # type: ignore[arg-type]
    engine = OnCanvas(model)
    rectifier._network._engine = engine
    return rectifier, engine


def pictures() -> list[Image]:
    """Some that need one sample for each pixel, one that needs several, one too large for the canvas."""
    small = [smooth(20 + 3 * seed, 60 + 11 * seed, seed=seed) for seed in range(5)]
    return [*small[:2], smooth(200, 290, seed=7), *small[2:], smooth(500, 800, seed=9)]


@pytest.mark.parametrize("settings", [{"size": OUTPUT}, {"height": 32}, {"size": (32, 90)}], ids=str)
def test_an_engine_gives_what_the_cpu_gives(model: Path, settings: dict[str, object]) -> None:
    images = pictures()
    rectifier, engine = elsewhere(model, threshold=0, **settings)
    expected = Rectifier(model, threshold=0, **settings)(images)  # type: ignore[arg-type]
    assert rectifier.spec.output_size == OUTPUT
    for result, wanted in zip(rectifier(images), expected, strict=True):
        shrunk = max(wanted.source_size) > LARGEST
        assert result.applied
        assert result.source_size == wanted.source_size
        assert np.abs(result.theta - wanted.theta).max() < (0.5 if shrunk else 1e-4)
        if not shrunk:
            assert result.image.shape == wanted.image.shape
            assert np.abs(result.image.astype(int) - wanted.image).max() <= 1
    assert engine.asked == [settings.get("size") == OUTPUT]


def test_crops_of_the_size_of_the_file_come_from_the_engine(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Painted by the engine, they are recognised; those it may not sample are the CPU's."""
    rectifier, engine = elsewhere(model, threshold=0, size=OUTPUT)
    run = engine.graph.run

    def painted(images: Image, extents: np.ndarray) -> object:
        crops, found = run(images, extents)
        crops[:] = np.linspace(-1, 1, 3)[None, :, None, None]
        return crops, found

    monkeypatch.setattr(engine.graph, "run", painted)
    results = rectifier(pictures())
    mean, std = rectifier.spec.mean, rectifier.spec.std
    whole = [(result.image == [mean - std, mean, mean + std]).all() for result in results]
    assert [whole[index] for index in (0, 1, 2, -1)] == [True, True, False, False]
    assert all(result.image.dtype == np.uint8 for result in results)
    assert all(result.image.flags.c_contiguous for result in results)


def test_what_is_left_alone_is_the_given_array_with_an_engine_too(model: Path) -> None:
    rectifier, _ = elsewhere(model, threshold=1, size=OUTPUT)
    images = pictures()
    assert [result.image is image for result, image in zip(rectifier(images), images, strict=True)] == [
        not result.applied for result in rectifier(images)
    ]


def test_regions_are_straightened_beside_an_engine(model: Path) -> None:
    page = smooth(200, 400)
    quad = [[40, 50], [200, 70], [195, 110], [35, 92]]
    rectifier, engine = elsewhere(model)
    (result,) = rectifier.regions(page, [quad])
    (expected,) = Rectifier(model).regions(page, [quad])
    assert np.array_equal(result.image, expected.image)
    assert not engine.asked


def test_closing_closes_the_engine(model: Path) -> None:
    rectifier, engine = elsewhere(model)
    rectifier.close()
    assert engine.closed
    with pytest.raises(ClosedError):
        rectifier(pictures())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_a_fork_of_the_process_goes_on_with_the_cpu(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process number stands in for the fork: the engine is neither used nor closed there."""
    rectifier, engine = elsewhere(model, threshold=0)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    image = smooth(30, 80)
    assert np.array_equal(rectifier(image).image, Rectifier(model, threshold=0)(image).image)
    assert not engine.asked
    rectifier.close()
    assert not engine.closed


def test_an_engine_without_its_file_says_what_it_cannot_do(model: Path) -> None:
    rectifier, _ = elsewhere(model)
    rectifier._network._model = rectifier._network._localiser = None
    assert rectifier(smooth(30, 80)).source_size == (30, 80)
    with pytest.raises(EngineError, match=r"expected the \.onnx file"):
        rectifier.regions(smooth(30, 80), [[[2, 2], [70, 2], [70, 20], [2, 20]]])


def test_a_rectifier_says_what_runs_it_and_why(model: Path) -> None:
    asked = Rectifier(model, engine="cpu")
    assert (asked.engine.kind, asked.engine.reason) == ("cpu", "CPU, as asked for")
    chosen = Rectifier(model, engine="auto").engine
    assert chosen.kind in ("cpu", "cuda", "tensorrt")
    assert chosen.kind.upper() in chosen.reason.upper()


@pytest.mark.parametrize("engine", ["gpu", "", None, 3, ["cpu"]], ids=str)
def test_an_unknown_engine_is_refused(model: Path, engine: object) -> None:
    with pytest.raises(ArgumentError, match="expected one of auto, cpu, cuda, tensorrt"):
        Rectifier(model, engine=engine)  # type: ignore[arg-type]


def test_results_stay_on_a_gpu_only_where_there_is_one(model: Path) -> None:
    with pytest.raises(EngineError, match="expected an engine on a GPU, got the CPU: CPU, as asked for"):
        Rectifier(model, engine="cpu").device_batch([smooth(20, 50)])


def test_the_built_engine_of_a_missing_record_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rectifier.engine"
    file.write_bytes(b"no record stands beside it")
    with pytest.raises(ArtifactError, match="rectifier.engine"):
        Rectifier(file)


def test_both_precisions_ship_and_find_nearly_the_same() -> None:
    exact, fast = Rectifier(precision="float32"), Rectifier(precision="int8")
    assert exact.spec.digest == read_artifact(DEFAULT_MODEL)[1].digest
    assert (exact.spec.precision, fast.spec.precision) == ("float32", "int8")
    assert fast.spec.digest == read_artifact(INT8_MODEL)[1].digest
    for name in ("gate", "margin", "threshold", "output_size", "thumbnail_size", "localisation"):
        assert getattr(exact.spec, name) == getattr(fast.spec, name), name
    trained = {key: value for key, value in fast.spec.recipe.items() if key != "calibration"}
    assert trained == exact.spec.recipe
    images = [smooth(30 + seed, 90 + 7 * seed, seed=seed) for seed in range(12)]
    moved = [np.abs(a.theta - b.theta).mean() for a, b in zip(exact(images), fast(images), strict=True)]
    assert 0 < np.mean(moved) < 0.05


@pytest.mark.parametrize("precision", ["fp16", "float16", "", 8, ["int8"]], ids=str)
def test_a_precision_that_does_not_ship_is_refused(precision: object) -> None:
    with pytest.raises(ArgumentError, match="expected float32 or int8"):
        Rectifier(precision=precision)  # type: ignore[arg-type]


def test_a_model_has_its_own_precision(model: Path) -> None:
    with pytest.raises(ArgumentError, match="expected none beside a model"):
        Rectifier(model, precision="int8")
