"""Sizes that an engine is built for: how they are written, and what fits."""

from __future__ import annotations

import pytest

from stn_deploy.artifact import Profile
from stn_deploy.errors import ArgumentError


def test_texts_and_profiles_are_each_others_inverse() -> None:
    for texts in (("1:16:64", "32x32:64x256:256x1024"), ("3", "41x123"), ("2:2:9", "8x20:8x20:8x21")):
        profile = Profile.parse(*texts)
        assert profile.texts() == texts
        assert Profile.parse(*profile.texts()) == profile
    assert Profile.parse() == Profile()


def test_one_value_is_the_smallest_the_usual_and_the_largest() -> None:
    profile = Profile.parse("16", "64X256")
    assert profile.batch == (16, 16, 16)
    assert profile.canvas == ((64, 256),) * 3
    assert profile.static
    assert not Profile.parse("16", "64x256:64x256:64x257").static


def test_shapes_are_those_of_the_inputs_with_height_before_width() -> None:
    assert Profile.parse("1:2:3", "4x50:6x70:8x90").shapes() == {
        "images": ((1, 4, 50, 3), (2, 6, 70, 3), (3, 8, 90, 3)),
        "extents": ((1, 2), (2, 2), (3, 2)),
    }


@pytest.mark.parametrize("batch", ["", "1:2", "1:2:3:4", "a", "0", "4:2:1", "1:5000:5000", "1:-2:3", "1.5"])
def test_a_batch_in_another_form_or_out_of_range_is_refused(batch: str) -> None:
    with pytest.raises(ArgumentError, match="batch"):
        Profile.parse(batch)


@pytest.mark.parametrize(
    "canvas",
    ["", "64", "64x", "64x256:32x512", "64x256:64x255:64x257", "9000x2", "0x5", "1x2x3", "8x8:4x9:9x9"],
)
def test_a_canvas_in_another_form_or_out_of_range_is_refused(canvas: str) -> None:
    with pytest.raises(ArgumentError, match="canvas"):
        Profile.parse(None, canvas)


def test_what_fits_is_between_the_smallest_and_the_largest_on_each_axis() -> None:
    profile = Profile.parse("2:3:4", "10x100:20x200:30x300")
    for batch, canvas in ((2, (10, 100)), (4, (30, 300)), (3, (10, 300)), (3, (30, 100))):
        profile.expect(batch, canvas)
    for batch in (1, 5):
        with pytest.raises(ArgumentError, match=f"2 to 4 images, got {batch}"):
            profile.expect(batch, (20, 200))
    for canvas in ((9, 200), (31, 200), (20, 99), (20, 301)):
        with pytest.raises(
            ArgumentError, match=f"10 x 100 to 30 x 300 pixels .*, got {canvas[0]} x {canvas[1]}"
        ):
            profile.expect(3, canvas)
