"""The node ThetaGridSample alone: ONNX function, torch twin and OpenCV, on kind and on hostile thetas."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from stn_deploy.export.node import BILINEAR_BORDER, DOMAIN, OP_TYPE, OPSET, theta_grid_sample_function
from stn_deploy.geometry import control_point_targets, normalised_from_pixels, target_points, thin_plate_basis
from stn_deploy.runtime import pack_canvas
from stn_deploy.runtime.sampling import sample_original
from stn_deploy.stn import theta_grid_sample
from tests.pictures import Image, arc_points, noise, smooth
from tests.tolerances import BYTE_SAMPLE, PIXEL_ROUNDED

COUNT = 8
OUTPUT = (11, 30)
BASIS = thin_plate_basis(control_point_targets(COUNT), target_points(OUTPUT)).astype(np.float32)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    """A model of nothing but the node, and the function that defines it."""
    names: dict[str, list[int | str | None]] = {
        "source": ["n", 3, "H", "W"],
        "basis": ["p", "k"],
        "theta": ["n", "k", 2],
        "extents": ["n", 2],
    }
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names.items()]
    output = helper.make_tensor_value_info("sampled", TensorProto.FLOAT, ["n", 3, *OUTPUT])
    attributes: dict[str, Any] = dict(BILINEAR_BORDER.attributes)
    node = helper.make_node(
        OP_TYPE, list(names), ["sampled"], domain=DOMAIN, output_size=list(OUTPUT), **attributes
    )
    graph = helper.make_graph([node], "node", inputs, [output])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(
        graph, opset_imports=opsets, functions=[theta_grid_sample_function()], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def in_onnx(
    session: onnxruntime.InferenceSession, images: list[Image], theta: np.ndarray, pad: int
) -> np.ndarray:
    canvas, extents = padded(images, pad)
    (sampled,) = session.run(None, {"source": canvas, "basis": BASIS, "theta": theta, "extents": extents})
    return np.asarray(sampled).transpose(0, 2, 3, 1)


def in_torch(images: list[Image], theta: np.ndarray, pad: int) -> np.ndarray:
    canvas, extents = padded(images, pad)
    source, basis, given, valid = (torch.from_numpy(array) for array in (canvas, BASIS, theta, extents))
    return theta_grid_sample(source, basis, given, valid, OUTPUT).permute(0, 2, 3, 1).numpy()


def in_opencv(images: list[Image], theta: np.ndarray) -> np.ndarray:
    sampled = [sample_original(*each, OUTPUT, exact=True) for each in zip(images, theta, strict=True)]
    return np.stack(sampled).astype(np.float32)


def padded(images: list[Image], pad: int) -> tuple[np.ndarray, np.ndarray]:
    height, width = np.array([image.shape[:2] for image in images]).max(axis=0) + pad
    packed, extents = pack_canvas(images, canvas=(int(height), int(width)))
    return packed.transpose(0, 3, 1, 2).astype(np.float32), extents


def arc_theta(size: tuple[int, ...]) -> np.ndarray:
    points = arc_points(COUNT, radius=60, angle=1.3, height=20, centre=(size[1] / 2, size[0]))
    return normalised_from_pixels(points, size).astype(np.float32)


@pytest.mark.parametrize("pad", [0, 1, 17])
def test_all_agree_on_text_lines(session: onnxruntime.InferenceSession, pad: int) -> None:
    images = [smooth(48, 90), smooth(33, 121, seed=1), smooth(80, 41, seed=2)]
    theta = np.stack([arc_theta(image.shape[:2]) for image in images])
    expected = in_torch(images, theta, pad)
    assert np.ptp(expected) > 50
    assert np.abs(in_onnx(session, images, theta, pad) - expected).max() < BYTE_SAMPLE
    assert np.abs(in_opencv(images, theta) - expected).max() < PIXEL_ROUNDED


def hostile_thetas() -> dict[str, np.ndarray]:
    # Nothing near zero, or rounding alone would decide on which side of the image a far point lies.
    base = (control_point_targets(COUNT) * 0.8 + [0.03, 0.1]).astype(np.float32)
    thetas = {"random, far outside": np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32) * 3}
    for name, factor in (("1e3", 1e3), ("1e20", 1e20), ("-1e20", -1e20)):
        thetas[f"all times {name}"] = base * np.float32(factor)
    for name, value in (("1e20", 1e20), ("NaN", np.nan), ("+inf", np.inf), ("-inf", -np.inf)):
        for axis in (0, 1):
            one = base.copy()
            one[2, axis] = value
            thetas[f"one {'xy'[axis]} is {name}"] = one
    thetas["all NaN"] = np.full_like(base, np.nan)
    thetas["one point"] = np.full_like(base, 0.3)
    return thetas


HOSTILE = hostile_thetas()


@pytest.mark.parametrize("pad", [0, 5])
@pytest.mark.parametrize("name", HOSTILE)
def test_all_agree_on_hostile_thetas(session: onnxruntime.InferenceSession, name: str, pad: int) -> None:
    """Beside a harmless neighbour in the batch, which must come out unharmed."""
    images = [smooth(21, 37), smooth(30, 50, seed=1)]
    theta = np.stack([HOSTILE[name], arc_theta((30, 50))])
    expected = in_torch(images, theta, pad)
    assert np.isfinite(expected).all()
    assert np.abs(in_onnx(session, images, theta, pad) - expected).max() < BYTE_SAMPLE
    # A point of 1e3 leaves 1e-4 of precision inside the image.
    assert np.abs(in_opencv(images, theta) - expected).max() < PIXEL_ROUNDED


@pytest.mark.parametrize("name", [name for name in HOSTILE if "NaN" in name or "inf" in name])
def test_what_is_not_finite_is_black(session: onnxruntime.InferenceSession, name: str) -> None:
    images, theta = [np.maximum(noise(9, 14), 1)], HOSTILE[name][None]
    for sampled in (in_torch(images, theta, 3), in_onnx(session, images, theta, 3), in_opencv(images, theta)):
        # One point that is infinite makes the whole spline so, except where its weight is exactly zero.
        assert (sampled == 0).all()


def test_far_outside_is_the_border(session: onnxruntime.InferenceSession) -> None:
    images, theta = [noise(9, 14)], np.full((1, COUNT, 2), [1e20, -1e20], np.float32)
    corner = images[0][0, -1]
    for sampled in (in_torch(images, theta, 3), in_onnx(session, images, theta, 3), in_opencv(images, theta)):
        assert np.abs(sampled - corner).max() < BYTE_SAMPLE


@pytest.mark.parametrize("magnitude", [2e38, 3.4e38])
def test_the_largest_numbers_give_numbers(session: onnxruntime.InferenceSession, magnitude: float) -> None:
    """Near the end of float32 the spline may overflow or not, but every engine answers border or black."""
    images = [smooth(21, 37)]
    theta = (control_point_targets(COUNT) * magnitude).astype(np.float32)[None]
    allowed = {tuple(pixel) for pixel in images[0].reshape(-1, 3).tolist()} | {(0, 0, 0)}
    with np.errstate(over="ignore", invalid="ignore"):
        opencv = in_opencv(images, theta)
    for sampled in (in_torch(images, theta, 3), in_onnx(session, images, theta, 3), opencv):
        assert {tuple(pixel) for pixel in np.round(sampled).astype(int).reshape(-1, 3).tolist()} <= allowed
