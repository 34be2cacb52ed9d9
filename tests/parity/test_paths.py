"""One rectifier, three paths: torch, the full graph in ONNX Runtime, and the split path with OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from stn_deploy.data.thumbnails import thumbnail
from stn_deploy.export import verify
from stn_deploy.export.graph import RectifierGraph
from stn_deploy.geometry import TextSpline
from stn_deploy.runtime import pack_canvas
from stn_deploy.runtime.engines.ort import OrtFullGraph, OrtLocaliser
from stn_deploy.runtime.sampling import sample_original
from stn_deploy.training import TextRectifier, save_checkpoint
from tests.pictures import Image, smooth
from tests.tolerances import BYTE_SAMPLE, PIXEL_ANYWHERE, PIXEL_TWO_ENGINES, SCORE, THETA


class Answer(NamedTuple):
    """pixels: (n, h, w, 3) in [0, 255]. theta: (n, K, 2). score: (n,)."""

    pixels: np.ndarray
    theta: np.ndarray
    score: np.ndarray


@pytest.fixture(scope="module")
def full(model: Path) -> OrtFullGraph:
    return OrtFullGraph(model.read_bytes())


@pytest.fixture(scope="module")
def localiser(model: Path) -> OrtLocaliser:
    return OrtLocaliser(model.read_bytes())


def in_torch(rectifier: TextRectifier, images: Image, extents: np.ndarray) -> Answer:
    spec = rectifier.spec
    with torch.inference_mode():
        outputs = RectifierGraph(rectifier, spec.output_size)(
            torch.from_numpy(images), torch.from_numpy(extents)
        )
    pixels = outputs.rectified.numpy() * spec.std + spec.mean
    return Answer(pixels.transpose(0, 2, 3, 1), outputs.theta.numpy(), outputs.score.numpy())


def in_full_graph(full: OrtFullGraph, rectifier: TextRectifier, images: Image, extents: np.ndarray) -> Answer:
    spec = rectifier.spec
    rectified, (theta, score) = full.run(images, extents)
    return Answer((rectified * spec.std + spec.mean).transpose(0, 2, 3, 1), theta, score)


def in_parts(localiser: OrtLocaliser, rectifier: TextRectifier, crops: Sequence[Image]) -> Answer:
    spec = rectifier.spec
    small = np.stack([thumbnail(crop, spec.thumbnail_size).transpose(2, 0, 1) for crop in crops])
    sizes = np.array([crop.shape[:2] for crop in crops], np.float32)
    theta, score = localiser.localise(small, sizes)
    pixels = [
        sample_original(*pair, spec.output_size, spline=TextSpline.of(spec), exact=True)
        for pair in zip(crops, theta, strict=True)
    ]
    return Answer(np.stack(pixels).astype(np.float32), theta, score)


def assert_same(first: Answer, second: Answer, *, pixels: float) -> None:
    for name, tolerance in (("theta", THETA), ("score", SCORE), ("pixels", pixels)):
        one, other = getattr(first, name), getattr(second, name)
        assert one.shape == other.shape
        assert np.abs(one - other).max() < tolerance, name


BATCHES = {
    "one": ([0], (0, 0)),
    "one, padded": ([1], (13, 40)),
    "ragged": ([0, 1, 2, 3, 4], (0, 0)),
    "ragged, padded": ([8, 3, 5, 6], (1, 1)),
    "all, padded": (list(range(12)), (5, 27)),
    "2 x 2 pixels": ([9], (0, 0)),
    "2 x 2 pixels, padded": ([9], (30, 7)),
    "very wide": ([10], (0, 0)),
    "very tall": ([11], (3, 3)),
}


@pytest.mark.parametrize(("picks", "padding"), BATCHES.values(), ids=BATCHES)
def test_three_paths_give_the_same_numbers(
    picks: list[int],
    padding: tuple[int, int],
    crops: list[Image],
    rectifier: TextRectifier,
    full: OrtFullGraph,
    localiser: OrtLocaliser,
) -> None:
    batch = [crops[pick] for pick in picks]
    height, width = np.array([crop.shape[:2] for crop in batch]).max(axis=0) + padding
    images, extents = pack_canvas(batch, canvas=(int(height), int(width)))
    reference = in_torch(rectifier, images, extents)
    assert np.isfinite(reference.pixels).all()
    assert_same(reference, in_full_graph(full, rectifier, images, extents), pixels=PIXEL_TWO_ENGINES)
    assert_same(reference, in_parts(localiser, rectifier, batch), pixels=PIXEL_ANYWHERE)


def test_the_random_rectifier_is_a_hard_case(crops: list[Image], rectifier: TextRectifier) -> None:
    """The comparisons above would say little of thetas that are all alike, or of scores on one side only."""
    answer = in_torch(rectifier, *pack_canvas(crops))
    assert np.ptp(answer.theta, axis=0).min() > 0.1
    assert answer.score.min() < rectifier.spec.threshold < answer.score.max()
    assert np.abs(answer.theta).max() > 1.1  # the border is sampled too


def test_what_lies_in_the_padding_does_not_matter(
    crops: list[Image], rectifier: TextRectifier, full: OrtFullGraph
) -> None:
    batch = [crops[0], crops[4], crops[10], crops[9]]
    canvas = (int(max(crop.shape[0] for crop in batch)) + 9, int(max(crop.shape[1] for crop in batch)) + 31)
    clean, extents = pack_canvas(batch, canvas=canvas)
    dirty = np.random.default_rng(0).integers(0, 256, clean.shape).astype(np.uint8)
    for target, source, crop in zip(dirty, clean, batch, strict=True):
        height, width = crop.shape[:2]
        target[: height + 1, : width + 1] = source[: height + 1, : width + 1]
    for run in (
        lambda images: in_torch(rectifier, images, extents),
        lambda images: in_full_graph(full, rectifier, images, extents),
    ):
        assert_same(run(clean), run(dirty), pixels=BYTE_SAMPLE)


def test_the_canvas_does_not_matter(crops: list[Image], rectifier: TextRectifier, full: OrtFullGraph) -> None:
    batch = crops[2:6]
    together = in_full_graph(full, rectifier, *pack_canvas(batch, canvas=(400, 900)))
    for index, crop in enumerate(batch):
        alone = in_full_graph(full, rectifier, *pack_canvas([crop]))
        assert_same(alone, Answer(*(part[index : index + 1] for part in together)), pixels=PIXEL_TWO_ENGINES)


def test_verify_passes_what_is_the_same_and_stops_what_is_not(
    model: Path, rectifier: TextRectifier, crops: list[Image], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    save_checkpoint(rectifier, checkpoint)
    comparisons = verify(model, checkpoint=checkpoint, images=crops)
    assert len({comparison.path for comparison in comparisons}) == 2
    assert {comparison.batch for comparison in comparisons} == {1, 7, 12}
    assert all(comparison.passed for comparison in comparisons)
    changed = TextRectifier(rectifier.spec)
    changed.load_state_dict(rectifier.state_dict())
    with torch.no_grad():
        changed.network.last.bias[0] += 3e-4
    save_checkpoint(changed, checkpoint)
    again = verify(model, checkpoint=checkpoint, images=crops)
    assert not any(comparison.passed for comparison in again if comparison.theta is not None)


def test_verify_brings_its_own_pictures(model: Path) -> None:
    comparisons = verify(model)
    assert max(comparison.batch for comparison in comparisons) >= 16
    assert all(comparison.passed for comparison in comparisons)


def test_a_comparison_with_nan_does_not_pass() -> None:
    from stn_deploy.export import Comparison

    good = Comparison(path="x", batch=1, canvas=(2, 3), theta=0.0, score=0.0, pixels=0.0)
    assert good.passed
    for name in ("theta", "score", "pixels"):
        values: dict[str, Any] = {"theta": 0.0, "score": 0.0, "pixels": 0.0, name: float("nan")}
        assert not Comparison(path="x", batch=1, canvas=(2, 3), **values).passed


def test_a_view_and_a_copy_of_an_image_give_the_same(
    localiser: OrtLocaliser, rectifier: TextRectifier
) -> None:
    picture = smooth(80, 200)
    view = picture[10:60, 150:20:-1]
    copy = np.ascontiguousarray(view)
    assert_same(in_parts(localiser, rectifier, [view]), in_parts(localiser, rectifier, [copy]), pixels=1e-9)
