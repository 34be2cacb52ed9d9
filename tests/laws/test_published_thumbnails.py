"""What a published network sees of an image of its size it sees here; of larger ones it sees all pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stn_deploy.artifact import RectifierSpec
from stn_deploy.data import thumbnail, thumbnail_batch
from stn_deploy.data.thumbnails import spread
from stn_deploy.export.graph import RectifierGraph
from stn_deploy.runtime import pack_canvas
from stn_deploy.training import PublishedRectifier
from tests.pictures import Image, noise, smooth
from tests.tolerances import BYTE_SAMPLE

NETWORK = {"network": "published", "colours": 3, "channels": [4, 4], "dense": 5, "pooled": True}
RULES: dict[str, Any] = {
    "whole": {"size": (16, 50), "input_size": (16, 50), "align_corners": False},
    "halved": {"size": (16, 50), "input_size": (32, 100), "align_corners": False},
    "corners": {"size": (12, 20), "input_size": (24, 76), "align_corners": True},
    "odd": {"size": (9, 31), "input_size": (25, 70), "align_corners": True},
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def theirs(image: Image, rule: dict) -> np.ndarray:
    """The thumbnail of the published networks: a bilinear resize without anti-aliasing."""
    picture = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    small = F.interpolate(picture, rule["size"], mode="bilinear", align_corners=rule["align_corners"])
    return small[0].permute(1, 2, 0).numpy()


@each_rule
def test_of_an_image_of_the_inputs_size_it_is_theirs(rule: dict) -> None:
    image = noise(*rule["input_size"])
    assert np.abs(thumbnail(image, **rule) - theirs(image, rule)).max() < BYTE_SAMPLE


@each_rule
@pytest.mark.parametrize(
    "size", [(2, 2), (7, 90), (24, 76), (31, 109), (61, 151), (300, 40), (530, 700)], ids=str
)
def test_numpy_and_the_graph_make_the_same(rule: dict, size: tuple[int, int]) -> None:
    spec = RectifierSpec(
        thumbnail_size=rule["size"],
        input_size=rule["input_size"],
        thumbnail_align_corners=rule["align_corners"],
        localisation=NETWORK,
    )
    graph = RectifierGraph(PublishedRectifier(spec).eval(), (4, 9))
    images = [noise(*size), noise(5, 9)]
    canvas, extents = pack_canvas(images, canvas=(size[0] + 8, size[1] + 11))
    with torch.inference_mode():
        made = graph(torch.from_numpy(canvas), torch.from_numpy(extents)).thumbnails.numpy()
    assert np.abs(made - thumbnail_batch(images, **rule)).max() < 2 * BYTE_SAMPLE


@pytest.mark.parametrize(
    ("length", "inputs", "expected"),
    [(50, 100, 0), (100, 100, 0), (125, 100, 0.4), (200, 100, 1), (900, 100, 1)],
)
def test_samples_spread_as_the_image_grows_past_the_input(length: int, inputs: int, expected: float) -> None:
    assert spread(length, inputs) == pytest.approx(expected)


def test_of_an_image_twice_as_large_each_pixel_is_the_mean_of_two_by_two() -> None:
    height, width = RULES["whole"]["size"]
    image = noise(2 * height, 2 * width)
    halved = image.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    assert np.abs(thumbnail(image, **RULES["whole"]) - halved).max() < BYTE_SAMPLE


def test_a_thumbnail_changes_continuously_with_the_size_of_the_image() -> None:
    rule = RULES["corners"]
    height, width = rule["input_size"]
    one, other = (thumbnail(smooth(height, width + more, seed=1), **rule) for more in (0, 1))
    assert np.abs(one - other).max() < 4


def test_a_single_column_of_aligned_corners_is_the_first_of_the_input() -> None:
    image = noise(10, 20)
    made = thumbnail(image, (1, 1), input_size=(10, 20), align_corners=True)
    assert np.abs(made[0, 0] - image[0, 0]).max() < BYTE_SAMPLE
