"""Published rectifiers give their own output from the exported file: theta to 1e-4, pixels to 1/255."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch

from stn_deploy.artifact import read_artifact
from stn_deploy.data import thumbnail_batch
from stn_deploy.export import export_rectifier, rectifier_from_artifact
from stn_deploy.export.importing import import_rectifier
from stn_deploy.export.verification import verification_images
from stn_deploy.geometry import TextSpline, pixels_from_normalised
from stn_deploy.runtime import Rectifier, pack_canvas
from stn_deploy.runtime.engines.ort import OrtFullGraph, OrtLocaliser
from stn_deploy.runtime.sampling import sample_original
from stn_deploy.training import PublishedRectifier, load_checkpoint, save_checkpoint
from tests import published
from tests.pictures import Image, smooth
from tests.published import Published
from tests.tolerances import BYTE_SAMPLE, PIXEL_ANYWHERE, PIXEL_TWO_ENGINES, SCORE, THETA

CASES: dict[str, Callable[[], Published]] = {
    "TRBA, grey": published.trba,
    "TRBA, colour": lambda: published.trba(seed=1, colours=3),
    "TRBA, 14 points, 48 x 160": lambda: published.trba(seed=2, colours=3, count=14, size=(48, 160)),
    "PaddleOCR TPS, small": lambda: published.paddle_tps(seed=3),
    "PaddleOCR TPS, large": lambda: published.paddle_tps(seed=4, large=True),
    "ASTER.pytorch": lambda: published.aster(seed=5),
    "ASTER.pytorch, other margin and size": lambda: published.aster(
        seed=8, count=12, output=(24, 90), margin=0.02
    ),
    "MMOCR": lambda: published.aster(published.MMOCR, seed=6),
    "PaddleOCR STN_ON": lambda: published.aster(published.STN_ON, seed=7),
}


class Model(NamedTuple):
    """A random recogniser, its rectifier as imported, and the file that was exported from it."""

    original: Published
    rectifier: PublishedRectifier
    path: Path


FEW = ["TRBA, grey", "PaddleOCR TPS, small", "ASTER.pytorch"]
"""Of each kind one: where every test exports anew."""
few_models = pytest.mark.parametrize("model", FEW, indirect=True)


@pytest.fixture(scope="module", params=CASES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    original = CASES[request.param]()
    folder = tmp_path_factory.mktemp("published")
    rectifier = import_rectifier(original.family, published.save(original, folder))
    path = folder / "model.onnx"
    export_rectifier(rectifier, path)
    return Model(original, rectifier, path)


def pictures(size: tuple[int, int]) -> list[Image]:
    """Rendered words and soft blotches, all of one size."""
    height, width = size
    words = [
        cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in verification_images(7)
    ]
    return [*(np.asarray(each, np.uint8) for each in words), smooth(height, width)]


def in_order(pixels: np.ndarray, order: str) -> np.ndarray:
    """(n, h, w, 3) BGR -> (n, h, w, c), as the recogniser takes them."""
    if order == "grey":
        return np.asarray(pixels @ np.array([7471, 38470, 19595]) / 65536)[..., None]
    return pixels[..., ::-1] if order == "RGB" else pixels


@torch.inference_mode()
def assert_theirs(original: Published, images: list[Image], theta: np.ndarray, pixels: np.ndarray) -> None:
    """theta (n, K, 2) and straightened pixels (n, h, w, 3), 0 to 255, against what the original makes."""
    output = (pixels.shape[1], pixels.shape[2])
    points, rectified = original.straighten(published.scaled(np.stack(images), original.order), output)
    found = pixels_from_normalised(theta, original.input_size) - 0.5
    off = np.abs(found - original.pixels(points).numpy()) * 2 / np.array(original.input_size[::-1])
    assert off.max() < THETA
    expected = rectified.numpy().transpose(0, 2, 3, 1) * 127.5 + 127.5
    assert np.abs(in_order(pixels, original.order) - expected).max() < PIXEL_ANYWHERE


def full_graph(
    path: Path, images: np.ndarray, extents: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (n, h, w, 3) in [0, 255], theta and score."""
    rectified, (theta, score) = OrtFullGraph(path.read_bytes()).run(images, extents)
    return (rectified * 127.5 + 127.5).transpose(0, 2, 3, 1), theta, score


def test_the_full_graph_gives_their_output(model: Model) -> None:
    images = pictures(model.original.input_size)
    pixels, theta, _ = full_graph(model.path, *pack_canvas(images))
    assert np.ptp(theta, axis=0).max() > 0.1  # theta follows the image ...
    assert np.abs(theta).max() > 1.05  # ... and leads outside of it
    assert_theirs(model.original, images, theta, pixels)


def split_path(path: Path, images: list[Image]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (n, h, w, 3) in [0, 255], theta and score, one sample for each pixel."""
    data, spec = read_artifact(path)
    thumbnails = thumbnail_batch(
        images, spec.thumbnail_size, input_size=spec.input_size, align_corners=spec.thumbnail_align_corners
    )
    sizes = np.array([image.shape[:2] for image in images], np.float32)
    theta, score = OrtLocaliser(data).localise(thumbnails, sizes)
    pixels = [
        sample_original(*pair, spec.output_size, spline=TextSpline.of(spec), exact=True, fill=spec.fill)
        for pair in zip(images, theta, strict=True)
    ]
    return np.stack(pixels).astype(np.float32), theta, score


def test_the_split_path_gives_their_output(model: Model) -> None:
    images = pictures(model.original.input_size)
    pixels, theta, _ = split_path(model.path, images)
    assert_theirs(model.original, images, theta, pixels)


@few_models
def test_the_rectifier_of_the_runtime_finds_the_same_theta_and_always_straightens(model: Model) -> None:
    images = pictures(model.original.input_size)
    pixels, theta, _ = split_path(model.path, images)
    results = Rectifier(model.path, size=model.rectifier.spec.output_size)(images)
    assert all(result.applied for result in results)
    assert np.abs(np.stack([result.theta for result in results]) - theta).max() < THETA
    if model.original.input_size == (32, 100):  # larger ones it averages where they shrink
        found = np.stack([result.image for result in results]).astype(int)
        assert np.abs(found - pixels).max() <= 1  # positions that differ in their last bit round differently
        assert (found != pixels).mean() < 0.001


@few_models
def test_their_output_comes_in_other_sizes_too(model: Model, tmp_path: Path) -> None:
    images = pictures(model.original.input_size)
    written = export_rectifier(model.rectifier, tmp_path / "other.onnx", output_size=(45, 131))
    assert written.output_size == (45, 131)
    pixels, theta, _ = full_graph(tmp_path / "other.onnx", *pack_canvas(images))
    assert pixels.shape[1:3] == (45, 131)
    assert_theirs(model.original, images, theta, pixels)


def test_a_padded_canvas_changes_nothing(model: Model) -> None:
    images = pictures(model.original.input_size)
    height, width = model.original.input_size
    pixels, theta, score = full_graph(model.path, *pack_canvas(images))
    canvas, extents = pack_canvas(images, canvas=(height + 13, width + 40))
    canvas[:, height + 1 :], canvas[:, :, width + 1 :] = 255, 0
    padded_pixels, padded_theta, padded_score = full_graph(model.path, canvas, extents)
    assert np.abs(padded_theta - theta).max() < THETA
    assert np.abs(padded_score - score).max() < SCORE
    assert np.abs(padded_pixels - pixels).max() < PIXEL_TWO_ENGINES


def test_photographs_of_any_size_give_the_same_on_both_paths(model: Model) -> None:
    images = [smooth(7, 30), smooth(400, 1300, seed=3), *verification_images(5), smooth(33, 101, seed=4)]
    pixels, theta, score = full_graph(model.path, *pack_canvas(images))
    split_pixels, split_theta, split_score = split_path(model.path, images)
    assert np.abs(split_theta - theta).max() < THETA
    assert np.abs(split_score - score).max() < SCORE
    assert np.abs(split_pixels - pixels).max() < PIXEL_ANYWHERE


def test_a_larger_photograph_of_the_same_gives_nearly_the_same_theta(model: Model) -> None:
    """The thumbnail of a large image is that of a small one, without aliasing."""
    height, width = model.original.input_size
    small = smooth(height, width, seed=5)
    thetas = []
    for factor in (1, 2, 5):
        large = cv2.resize(small, (width * factor, height * factor), interpolation=cv2.INTER_LINEAR)
        thetas.append(full_graph(model.path, *pack_canvas([np.asarray(large, np.uint8)]))[1])
    assert max(np.abs(theta - thetas[0]).max() for theta in thetas) < 0.02


def test_the_checkpoint_and_the_file_read_back_are_the_same_rectifier(model: Model, tmp_path: Path) -> None:
    save_checkpoint(model.rectifier, tmp_path / "checkpoint.safetensors")
    saved = load_checkpoint(tmp_path / "checkpoint.safetensors")
    again = rectifier_from_artifact(model.path)
    assert not saved.training
    assert not again.training
    assert saved.spec == model.rectifier.spec
    assert again.spec == read_artifact(model.path)[1]
    assert dataclasses.replace(again.spec, digest="") == saved.spec
    expected = model.rectifier.state_dict()
    for other in (saved.state_dict(), again.state_dict()):
        assert other.keys() == expected.keys()
        assert all(torch.equal(other[name], expected[name]) for name in expected)


@few_models
def test_the_same_checkpoint_gives_the_same_bytes(model: Model, tmp_path: Path) -> None:
    export_rectifier(rectifier_from_artifact(model.path), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == model.path.read_bytes()


@few_models
def test_no_coordinate_that_is_no_number_gives_a_colour(model: Model) -> None:
    """NaN samples as nothing: 0 before scaling, or mid grey where padding is."""
    rectifier = import_rectifier(model.original.family, published.save(model.original, model.path.parent))
    with torch.no_grad():
        rectifier.network.last.bias.fill_(float("nan"))
    path = model.path.parent / "nan.onnx"
    export_rectifier(rectifier, path)
    images = pictures(model.original.input_size)[:2]
    nothing = 127.5 if rectifier.spec.padding == "zeros" else 0
    pixels, theta, _ = full_graph(path, *pack_canvas(images))
    assert np.isnan(theta).all()
    assert np.abs(pixels - nothing).max() < BYTE_SAMPLE
