"""The thumbnail that OpenCV makes is the thumbnail that the exported graph makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stn_deploy.data import thumbnails
from stn_deploy.data.thumbnails import thumbnail
from tests.pictures import Image, noise
from tests.tolerances import BYTE_SAMPLE

SIZE = (16, 40)
SMALL = [(2, 2), (2, 77), (51, 3), (16, 40), (37, 91), (150, 33)]
LARGE = (530, 700)


def oracle(image: Image) -> np.ndarray:
    """Bilinear to twice the size, then the mean of each 2 x 2 block."""
    picture = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    double = F.interpolate(picture, (2 * SIZE[0], 2 * SIZE[1]), mode="bilinear", align_corners=False)
    return F.avg_pool2d(double, 2)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("limit", [-1, 1 << 40], ids=["gathered", "resized"])
@pytest.mark.parametrize("size", SMALL, ids=str)
def test_both_ways_give_the_thumbnail_of_the_graph(
    size: tuple[int, int], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_GATHER_ABOVE", limit)
    image = noise(*size)
    made = thumbnail(image, SIZE)
    assert made.shape == (*SIZE, 3)
    assert made.dtype == np.float32
    assert np.abs(made - oracle(image)).max() < BYTE_SAMPLE


def test_a_large_image_is_gathered_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(*LARGE)
    gathered = thumbnail(image, SIZE)
    assert np.abs(gathered - oracle(image)).max() < BYTE_SAMPLE
    seen = []
    whole = thumbnails._gathered

    def watched(image: Image, size: tuple[int, int]) -> np.ndarray:
        seen.append(image.shape[:2])
        return whole(image, size)

    monkeypatch.setattr(thumbnails, "_gathered", watched)
    thumbnail(image, SIZE)
    thumbnail(noise(40, 90), SIZE)
    assert seen == [LARGE]


def test_a_view_into_a_larger_image_is_taken_as_it_is() -> None:
    image = noise(60, 120)
    view = image[5:50:1, 100:10:-1]
    assert np.array_equal(thumbnail(view, SIZE), thumbnail(np.ascontiguousarray(view), SIZE))
