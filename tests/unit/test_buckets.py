"""Which images share a batch: each image once, on a canvas that holds it, in few sizes, with little waste."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stn_deploy.artifact import Profile
from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.canvas import pack_canvas, pack_into
from stn_deploy.runtime.engines.buckets import Batch, Buckets

BUCKETS = [
    Buckets(),
    Buckets(smallest=(2, 2), largest=(100, 300), batch=(1, 5), room=1 << 17),
    Buckets.of_profile(Profile(batch=(3, 3, 3), canvas=((64, 200), (64, 200), (64, 200)))),
    Buckets.of_profile(Profile(batch=(2, 6, 12), canvas=((20, 33), (64, 96), (129, 257))), room=1 << 19),
]
each = pytest.mark.parametrize("buckets", BUCKETS)


def images_for(buckets: Buckets) -> st.SearchStrategy[list[tuple[int, int]]]:
    side = st.tuples(st.integers(1, buckets.largest[0]), st.integers(1, buckets.largest[1]))
    return st.lists(side, max_size=70)


@each
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_each_image_is_in_one_batch_that_the_engine_takes(buckets: Buckets, data: st.DataObject) -> None:
    sizes = data.draw(images_for(buckets))
    batches = buckets.plan(sizes)
    assert sorted(place for batch in batches for place in batch.places) == list(range(len(sizes)))
    for batch in batches:
        assert batch.canvas[0] in buckets.heights
        assert batch.canvas[1] in buckets.widths
        assert 1 <= len(batch.places) <= batch.size
        assert batch.size in buckets.sizes(batch.canvas)
        assert batch.size * batch.canvas[0] * batch.canvas[1] * 3 <= buckets.room
        assert list(batch.places) == sorted(batch.places)
        assert all(np.less_equal(sizes[place], batch.canvas).all() for place in batch.places)


@each
def test_sizes_are_few_and_within_what_the_engine_was_built_for(buckets: Buckets) -> None:
    assert (buckets.heights[0], buckets.widths[0]) == buckets.smallest
    assert (buckets.heights[-1], buckets.widths[-1]) == buckets.largest
    for sides in (buckets.heights, buckets.widths):
        assert list(sides) == sorted(set(sides))
        assert len(sides) <= 20
    for height in buckets.heights:
        for width in buckets.widths:
            sizes = buckets.sizes((height, width))
            assert buckets.batch[0] == sizes[0]
            assert sizes[-1] <= buckets.batch[1]
    assert buckets.count() <= 1000


def test_alike_images_fill_their_batches() -> None:
    buckets = Buckets()
    for count, sizes in (
        (1, [1]),
        (3, [4]),
        (5, [4, 1]),
        (6, [8]),
        (64, [64]),
        (100, [64, 32, 4]),
        (256, [64] * 4),
    ):
        assert [batch.size for batch in buckets.plan([(40, 120)] * count)] == sizes
    assert buckets.plan([(32, 128)] * 2) == [Batch((32, 128), 2, (0, 1))]


def test_padding_costs_no_more_than_the_launches_that_it_saves() -> None:
    rng = np.random.default_rng(0)
    heights = np.clip(rng.lognormal(3.7, 0.5, 256), 2, 512).astype(int)
    widths = np.clip(rng.lognormal(4.8, 0.6, 256), 2, 2048).astype(int)
    sizes = list(zip(heights.tolist(), widths.tolist(), strict=True))
    buckets = Buckets()
    batches = buckets.plan(sizes)
    padded = sum(batch.size * batch.canvas[0] * batch.canvas[1] for batch in batches)
    assert padded < 3 * int((heights * widths).sum())
    canvases = {buckets.canvas_for(*size) for size in sizes}
    assert len(batches) < len(canvases) / 2


@each
def test_images_are_shrunk_by_the_least_factor_that_makes_them_fit(buckets: Buckets) -> None:
    height, width = buckets.largest
    for size, factor in (
        ((height, width), 1),
        ((1, 1), 1),
        ((height + 1, 3), 2),
        ((3, 4 * width), 4),
        ((9 * height, 2 * width + 1), 9),
    ):
        assert buckets.factor(*size) == factor


def test_bounds_that_nothing_fits_are_refused() -> None:
    for wrong in ({"smallest": (600, 32)}, {"batch": (5, 4)}, {"batch": (0, 4)}, {"smallest": (0, 1)}):
        with pytest.raises(ArgumentError, match="expected 1 <= smallest <= largest"):
            Buckets(**wrong)  # type: ignore[arg-type]
    with pytest.raises(
        ArgumentError, match="room: expected at least 3145728 bytes for one batch, got 3000000"
    ):
        Buckets(room=3_000_000)


def test_canvases_that_were_used_hold_what_fresh_ones_hold_where_it_counts() -> None:
    rng = np.random.default_rng(1)
    images = [
        rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in ((5, 9), (7, 11), (7, 3), (2, 11))
    ]
    fresh, fractions = pack_canvas(images, canvas=(7, 11))
    used = np.full((6, 7, 11, 3), 77, np.uint8)
    extents = np.full((6, 2), np.nan, np.float32)
    pack_into(used, extents, images)
    np.testing.assert_array_equal(extents[:4], fractions)
    assert (extents[4:] == 1).all(), "images that are left over divide by their extents, too"
    assert (used[4:] == 77).all()
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        np.testing.assert_array_equal(
            used[index, : height + 1, : width + 1], fresh[index, : height + 1, : width + 1]
        )
