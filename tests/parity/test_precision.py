"""Lower precision is measured before it is written, and read back into torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from stn_deploy.artifact import RectifierSpec, localisation_model, read_artifact
from stn_deploy.errors import ArgumentError, ArtifactError, DatasetError, OutputError
from stn_deploy.export import export_rectifier, rectifier_from_artifact
from stn_deploy.export.crops import MOST, Crops, crops_of, load_crops
from stn_deploy.export.importing import import_rectifier
from stn_deploy.export.passes import float16
from stn_deploy.export.passes.rewrite import write_artifact
from stn_deploy.export.precision import LARGEST_ERROR, ThetaError, theta_error, write_in_precision
from stn_deploy.export.rounding import with_roundings
from stn_deploy.export.verification import verification_images
from stn_deploy.export.weights import stored_weights
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier, pack_canvas
from tests import published
from tests.pictures import Image, smooth
from tests.published import Published
from tests.tolerances import HALF_THETA, THETA


@pytest.fixture(scope="module")
def shipped() -> tuple[bytes, RectifierSpec]:
    return read_artifact(DEFAULT_MODEL)


@pytest.fixture(scope="module")
def seen(shipped: tuple[bytes, RectifierSpec]) -> Crops:
    """Rendered words as the shipped rectifier sees them."""
    return crops_of(verification_images(60, seed=11), shipped[1])


@pytest.fixture(scope="module", params=["float16", "int8"])
def lowered(
    request: pytest.FixtureRequest, seen: Crops, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, RectifierSpec, ThetaError]:
    """The shipped rectifier in a lower precision."""
    target = tmp_path_factory.mktemp("lowered") / f"{request.param}.onnx"
    return target, *write_in_precision(DEFAULT_MODEL, target, request.param, crops=seen)


def test_theta_stays_within_the_bound(lowered: tuple[Path, RectifierSpec, ThetaError], seen: Crops) -> None:
    _, spec, error = lowered
    assert 0 < error.heights.mean < error.heights.p99 < error.heights.worst
    assert error.heights.p99 <= LARGEST_ERROR[spec.precision]
    assert error.crops == (len(seen.sizes) if spec.precision == "float16" else len(seen.sizes) // 2)


def test_the_file_says_its_precision_and_all_else_stands(
    lowered: tuple[Path, RectifierSpec, ThetaError], shipped: tuple[bytes, RectifierSpec], seen: Crops
) -> None:
    path, spec, _ = lowered
    assert read_artifact(path)[1] == spec
    recipe = dict(spec.recipe)
    calibration = recipe.pop("calibration", None)
    rest = dataclasses.replace(spec, precision="float32", recipe=recipe, digest=shipped[1].digest)
    assert rest == shipped[1]
    if spec.precision == "int8":
        assert calibration == {"crops": 30, "digest": seen.halves()[0].digest(), "percentile": 99.99}


def test_the_same_crops_give_the_same_file(
    lowered: tuple[Path, RectifierSpec, ThetaError], seen: Crops, tmp_path: Path
) -> None:
    path, spec, _ = lowered
    write_in_precision(DEFAULT_MODEL, tmp_path / "again.onnx", spec.precision, crops=seen)
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def test_the_rectifier_of_the_runtime_takes_the_file(lowered: tuple[Path, RectifierSpec, ThetaError]) -> None:
    images = verification_images(6, seed=2)
    for exact, rounded in zip(
        Rectifier(threshold=0)(images), Rectifier(lowered[0], threshold=0)(images), strict=True
    ):
        assert rounded.applied
        assert abs(exact.image.shape[1] - rounded.image.shape[1]) <= 0.1 * exact.image.shape[1]


def test_the_error_is_that_of_a_known_shift(model: Path, crops: list[Image]) -> None:
    """theta moved by a tenth of the width and a fifth of the height is just so many pixels off."""
    data, spec = read_artifact(model)
    moved = onnx.load_from_string(data)
    (node,) = (node for node in moved.graph.node if "theta" in node.output)
    node.output[0] = "before"
    moved.graph.initializer.append(numpy_helper.from_array(np.array([0.2, 0.4], np.float32), "shift"))
    place = list(moved.graph.node).index(node) + 1
    moved.graph.node.insert(place, onnx.helper.make_node("Add", ["before", "shift"], ["theta"], name="moved"))
    seen = crops_of(crops, spec)
    error = theta_error(data, moved.SerializeToString(), spec, seen)
    expected = np.hypot(*(seen.sizes * [0.2, 0.1]).T)
    np.testing.assert_allclose(error.pixels.mean, expected.mean(), rtol=1e-4)
    np.testing.assert_allclose(error.pixels.worst, expected.max(), rtol=1e-4)
    assert error.flips == 0
    assert error.crops == len(crops)


def test_the_error_in_heights_leaves_the_margin_out(
    shipped: tuple[bytes, RectifierSpec], seen: Crops
) -> None:
    """The text is as high as theta says without its margin: the error in heights is so much larger."""
    data, spec = shipped
    half = float16(onnx.load_from_string(data)).SerializeToString()
    with_margin = theta_error(data, half, spec, seen)
    without = theta_error(data, half, dataclasses.replace(spec, margin=0.0), seen)
    np.testing.assert_allclose(
        with_margin.heights.mean, without.heights.mean * (1 + 2 * spec.margin), rtol=1e-6
    )
    assert with_margin.pixels == without.pixels


def test_flips_are_counted_at_the_threshold(shipped: tuple[bytes, RectifierSpec], seen: Crops) -> None:
    """A file whose scores are turned round decides every crop the other way."""
    data, spec = shipped
    turned = onnx.load_from_string(data)
    (node,) = (node for node in turned.graph.node if "score" in node.output)
    node.output[0] = "before"
    turned.graph.initializer.append(numpy_helper.from_array(np.array(1.0, np.float32), "whole"))
    turned.graph.node.append(onnx.helper.make_node("Sub", ["whole", "before"], ["score"], name="turned"))
    assert theta_error(data, turned.SerializeToString(), spec, seen).flips == 1
    assert theta_error(data, data, spec, seen).flips == 0


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_beyond_the_bound_nothing_is_written_and_the_excess_is_named(
    precision: str, seen: Crops, tmp_path: Path
) -> None:
    target = tmp_path / "low.onnx"
    with pytest.raises(ArgumentError, match="within 1e-06 text heights .* too far; nothing is written"):
        write_in_precision(DEFAULT_MODEL, target, precision, crops=seen, largest_error=1e-6)
    assert not list(tmp_path.iterdir())


def test_a_network_that_breaks_is_refused_whatever_the_bound(
    shipped: tuple[bytes, RectifierSpec], seen: Crops, tmp_path: Path
) -> None:
    """An activation beyond 65504 is infinite in half precision, and theta no number.

    ONNX Runtime alone would not tell: on the CPU it computes in float32.
    """
    data, spec = shipped
    large = onnx.load_from_string(data)
    (bias,) = (item for item in large.graph.initializer if item.name.endswith("features.0.weight_bias"))
    bias.CopyFrom(numpy_helper.from_array(np.full(16, 6e4, np.float32), bias.name))
    del large.metadata_props[:]
    source, target = tmp_path / "large.onnx", tmp_path / "low.onnx"
    write_artifact(large, spec, source)
    with pytest.raises(ArgumentError, match="got nan on 60 crops"):
        write_in_precision(source, target, "float16", crops=seen, largest_error=1e9)
    assert [path.name for path in tmp_path.iterdir()] == ["large.onnx"]


@pytest.mark.parametrize(
    ("precision", "bound", "message"),
    [
        ("float32", None, "precision: expected one of float16, int8, got 'float32'"),
        ("fp8", None, "precision: expected one of float16, int8, got 'fp8'"),
        ("int8", 0.0, "largest error: expected text heights above 0, such as 0.1, got 0.0"),
        ("int8", float("nan"), "largest error: expected text heights above 0, such as 0.1, got nan"),
        ("float16", float("inf"), "largest error: expected text heights above 0, such as 0.1, got inf"),
    ],
)
def test_what_is_no_precision_or_no_bound_is_refused(
    precision: str, bound: float | None, message: str, seen: Crops, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match=message):
        write_in_precision(DEFAULT_MODEL, tmp_path / "low.onnx", precision, crops=seen, largest_error=bound)
    assert not list(tmp_path.iterdir())


def test_int8_needs_a_crop_to_measure_on(seen: Crops, tmp_path: Path) -> None:
    one = Crops(seen.thumbnails[:1], seen.sizes[:1])
    with pytest.raises(DatasetError, match="expected at least 2 crops, one to calibrate and one to measure"):
        write_in_precision(DEFAULT_MODEL, tmp_path / "low.onnx", "int8", crops=one)


def test_a_target_that_cannot_be_written_is_named(seen: Crops, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written"):
        write_in_precision(DEFAULT_MODEL, tmp_path / "file" / "low.onnx", "float16", crops=seen)


def test_a_file_is_not_rounded_twice(
    lowered: tuple[Path, RectifierSpec, ThetaError], seen: Crops, tmp_path: Path
) -> None:
    for precision in ("float16", "int8"):
        with pytest.raises(ArtifactError, match=f"got one in {lowered[1].precision}"):
            write_in_precision(lowered[0], tmp_path / "low.onnx", precision, crops=seen)
    assert not list(tmp_path.iterdir())


@torch.inference_mode()
def test_torch_reads_the_rounded_weights_back(
    lowered: tuple[Path, RectifierSpec, ThetaError], seen: Crops
) -> None:
    """Its weights are those of the file; theta differs by what rounded activations do, no more."""
    path, spec, _ = lowered
    rectifier = rectifier_from_artifact(path)
    weights = stored_weights(onnx.load(path))
    compared = 0
    for name, value in rectifier.named_parameters():
        if f"rectifier.{name}" in weights:
            np.testing.assert_array_equal(value.numpy(), weights[f"rectifier.{name}"])
            compared += 1
    assert compared == 4 + 3 * 2
    found = rectifier(torch.from_numpy(seen.thumbnails), torch.from_numpy(seen.sizes))
    exact = rectifier_from_artifact(DEFAULT_MODEL)(
        torch.from_numpy(seen.thumbnails), torch.from_numpy(seen.sizes)
    )
    distance = (found.theta - exact.theta).abs()
    assert distance.max() > 0
    assert float(distance.mean()) < (HALF_THETA if spec.precision == "float16" else 4 * HALF_THETA)


def test_of_float32_the_weights_are_the_very_ones(model: Path) -> None:
    stored = {item.name: numpy_helper.to_array(item) for item in onnx.load(model).graph.initializer}
    for name, values in stored_weights(onnx.load(model)).items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, stored[name])


def test_crops_are_thumbnails_as_the_runtime_makes_them(
    shipped: tuple[bytes, RectifierSpec], tmp_path: Path
) -> None:
    import cv2

    images = [smooth(30, 90, seed=1), smooth(61, 70, seed=2), smooth(1, 50, seed=3)]
    for index, image in enumerate(images):
        assert cv2.imwrite(str(tmp_path / f"{index}.png"), image)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    told: list[tuple[int, int]] = []
    seen, unusable = load_crops(tmp_path, shipped[1], progress=lambda *each: told.append(each))
    expected = crops_of(images[:2], shipped[1])
    np.testing.assert_array_equal(seen.thumbnails, expected.thumbnails)
    np.testing.assert_array_equal(seen.sizes, [[30, 90], [61, 70]])
    assert [line.split(":")[0] for line in unusable] == ["2.png", "broken.png"]
    assert told == [(done, 4) for done in range(1, 5)]


def test_halves_share_no_crop_and_leave_none_out(seen: Crops) -> None:
    one, other = seen.halves()
    assert len(one.sizes) + len(other.sizes) == len(seen.sizes)
    together = np.concatenate([one.thumbnails, other.thumbnails])
    assert {each.tobytes() for each in together} == {each.tobytes() for each in seen.thumbnails}
    assert MOST >= 2


def test_another_crop_or_another_size_has_another_digest(seen: Crops) -> None:
    same = Crops(seen.thumbnails.copy(), seen.sizes.copy())
    larger = Crops(seen.thumbnails, seen.sizes + np.eye(len(seen.sizes), 2, dtype=np.float32))
    fewer = Crops(seen.thumbnails[1:], seen.sizes[1:])
    assert same.digest() == seen.digest()
    assert len({seen.digest(), larger.digest(), fewer.digest()}) == 3


@torch.inference_mode()
def test_roundings_are_those_of_torch_in_half_precision(
    shipped: tuple[bytes, RectifierSpec], seen: Crops
) -> None:
    """An oracle: the network itself in torch, with half weights and half activations."""
    data, _ = shipped
    half = float16(onnx.load_from_string(data))
    computed = with_roundings(half)
    onnx.checker.check_model(computed, full_check=True)
    feeds = {"thumbnails": seen.thumbnails, "sizes": seen.sizes}
    rounded, fused = (
        onnxruntime.InferenceSession(localisation_model(each.SerializeToString())).run(["theta"], feeds)[0]
        for each in (computed, half)
    )
    rectifier = rectifier_from_artifact(DEFAULT_MODEL)
    layers = dict(rectifier.named_modules())
    thumbnails, sizes = (torch.from_numpy(each) for each in seen)
    exact = rectifier(thumbnails, sizes).theta.numpy()
    for name in ("network.features.0", "network.combine"):
        layers[name].register_forward_pre_hook(lambda _, given: (given[0].half(),))
    layers["network"].half()
    theta = rectifier(thumbnails, sizes).theta.numpy()
    error, expected, without = (np.abs(each - exact).mean() for each in (rounded, theta, fused))
    assert 0.7 < error / expected < 1.4  # which way a number is rounded differs, how far does not
    assert without < 0.9 * error


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_every_path_through_a_rounded_file_gives_one_theta(
    precision: str, seen: Crops, tmp_path: Path
) -> None:
    """Its full graph and its localisation part differ as little as those of a file in float32."""
    target = tmp_path / "low.onnx"
    _, spec = write_in_precision(DEFAULT_MODEL, target, precision, crops=seen)[1], read_artifact(target)[1]
    images = verification_images(5, seed=4)
    packed, extents = pack_canvas(images)
    full = onnxruntime.InferenceSession(target).run(["theta"], {"images": packed, "extents": extents})[0]
    alone = crops_of(images, spec)
    part = onnxruntime.InferenceSession(localisation_model(target.read_bytes()))
    split = part.run(["theta"], {"thumbnails": alone.thumbnails, "sizes": alone.sizes})[0]
    distance = np.abs(full - split)
    # A thumbnail that differs by its rounding may fall on the other side of a step of the quantiser.
    assert np.median(distance) < THETA
    assert distance.max() < 4 * HALF_THETA


@pytest.mark.parametrize("make", [published.trba, published.aster])
def test_published_rectifiers_can_be_rounded_too(make: Callable[[], Published], tmp_path: Path) -> None:
    """With pooling between their layers, and thumbnails of their own."""
    original = make()
    source, target = tmp_path / "published.onnx", tmp_path / "low.onnx"
    spec = export_rectifier(import_rectifier(original.family, published.save(original, tmp_path)), source)
    seen = crops_of(verification_images(20), spec)
    packed, extents = pack_canvas(verification_images(3, seed=9))
    for precision, size in (("float16", 0.6), ("int8", 0.4)):
        written, error = write_in_precision(source, target, precision, crops=seen)
        assert error.heights.p99 > 0
        assert target.stat().st_size < size * source.stat().st_size
        full = onnxruntime.InferenceSession(target).run(None, {"images": packed, "extents": extents})
        assert all(np.isfinite(each).all() for each in full)
        assert rectifier_from_artifact(target).spec == written
