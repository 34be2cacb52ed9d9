"""The pool of crops of which only the text is known: same for its seed, and each label says what is there."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import pytest

from stn_deploy.data import Dataset, Sample
from stn_deploy.training import RealWord, TextWord, load_text_words, pool
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.pool import CHUNK, PoolSettings, build_pools
from stn_deploy.training.pool_store import PoolStore
from stn_deploy.training.recogniser import ALPHABET, LONGEST
from stn_deploy.training.scene import LARGEST
from stn_deploy.training.text_pool import PICTURE_SIZE, TextPool, readable
from tests.pictures import noise, smooth

SETTINGS = PoolSettings(thumbnail_size=(8, 24), control_points=6, seed=3)
TEXTS = [
    TextWord(image=smooth(23 + index, LARGEST // 20, seed=index), text=f"Word{index}") for index in range(3)
]
"""Larger than any rendered crop, so that their sizes tell them apart."""


@pytest.fixture(autouse=True)
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts of this computer do not matter here."""
    monkeypatch.setattr(pool, "find_fonts", lambda: (FALLBACK,))


def built(settings: PoolSettings = SETTINGS, texts: list[TextWord] = TEXTS, **options: object) -> TextPool:
    settled = {"processes": 1, "rendered": 0, "text": 1, **options}
    pools = build_pools(settings, texts=texts, **settled)  # type: ignore[arg-type]
    assert pools.texts is not None
    return pools.texts


@pytest.fixture(scope="module")
def made() -> TextPool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "find_fonts", lambda: (FALLBACK,))
        return built()


def decoded(made: TextPool) -> list[str]:
    """The texts that the labels stand for."""
    return [
        "".join(ALPHABET[code - 1] for code in codes[:length])
        for codes, length in zip(made.labels, made.lengths, strict=True)
    ]


def assert_same(first: TextPool, second: TextPool) -> None:
    for name, array in first.arrays().items():
        assert np.array_equal(array, second.arrays()[name]), name


def test_it_is_the_same_for_two_processes_and_another_seed_gives_another(made: TextPool) -> None:
    assert_same(made, built(processes=2))
    assert not np.array_equal(made.labels, built(replace(SETTINGS, seed=4)).labels)


def test_half_of_it_comes_from_the_data(made: TextPool) -> None:
    assert len(made) == CHUNK
    given = {tuple(word.image.shape[:2]): word for word in TEXTS}
    shown = [given.get((int(height), int(width))) for height, width in made.sizes]
    assert 0.4 < np.mean([word is not None for word in shown]) < 0.6
    assert {word.text for word in shown if word} == {word.text for word in TEXTS}
    for index, (word, text) in enumerate(zip(shown, decoded(made), strict=True)):
        if word is not None:
            assert text == word.text.lower()
            grey = cv2.cvtColor(word.image, cv2.COLOR_BGR2GRAY)
            expected = cv2.resize(grey, PICTURE_SIZE[::-1], interpolation=cv2.INTER_AREA)
            assert np.array_equal(made.pictures[index, 0], expected)


def test_labels_are_within_the_alphabet_and_nothing_stands_behind_them(made: TextPool) -> None:
    assert made.lengths.min() >= 1
    assert made.lengths.max() <= LONGEST
    for codes, length in zip(made.labels, made.lengths, strict=True):
        assert ((codes[:length] >= 1) & (codes[:length] <= len(ALPHABET))).all()
        assert not codes[length:].any()
    assert len(set(decoded(made))) > CHUNK // 4


def test_without_texts_in_the_data_all_are_rendered(made: TextPool) -> None:
    given = {tuple(word.image.shape[:2]) for word in TEXTS}
    rendered = built(texts=[])
    assert len(rendered) == CHUNK
    assert not given & {(int(height), int(width)) for height, width in rendered.sizes}
    assert len(np.unique(rendered.pictures, axis=0)) > 0.9 * CHUNK


def test_without_a_number_there_is_no_pool_and_the_other_pools_do_not_depend_on_it() -> None:
    alone = build_pools(SETTINGS, rendered=1, processes=1)
    assert alone.texts is None
    beside = build_pools(SETTINGS, rendered=1, text=1, texts=TEXTS, processes=1)
    assert np.array_equal(alone.rendered.thumbnails, beside.rendered.thumbnails)


def test_it_comes_back_from_the_disk(
    made: TextPool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PoolStore(folder=tmp_path_factory.mktemp("run") / "pool", digest="a" * 64)
    assert_same(made, built(store=store))
    monkeypatch.setattr(pool, "_work", lambda job: pytest.fail(f"rendered {job} again"))
    assert_same(made, built(store=store))


class FakeDataset(list):
    """Samples as a dataset gives them."""


def sample(text: str, *, quad: bool = False, points: bool = False, data: bytes | None = None) -> Sample:
    encoded = cv2.imencode(".png", noise(20, 50))[1].tobytes() if data is None else data
    corners = np.array([[2, 2], [40, 2], [40, 15], [2, 15]], np.float32)
    edges = corners[[0, 1, 3, 2]]
    return Sample("x.png", text, corners if quad else None, lambda: encoded, edges if points else None)


def test_words_that_teach_no_text_are_left_out_and_counted() -> None:
    samples = [
        sample("Exit"),
        sample("with quad", quad=True),  # another reader's business, not left out
        sample("with points", points=True),
        sample(""),
        sample("a b"),
        sample("è"),
        sample("x" * 25),
        sample("Way", data=b"not an image"),
    ]
    words, left_out = load_text_words(cast(Dataset, FakeDataset(samples)))
    assert [word.text for word in words] == ["Exit"]
    assert np.array_equal(words[0].image, noise(20, 50))
    assert left_out == {
        "with an empty label": 1,
        "with characters in the label other than a-z, A-Z and 0-9": 2,
        "with a label of more than 24 characters": 1,
        "with an image that cannot be used": 1,
    }


def test_real_words_join_where_their_text_can_be_read() -> None:
    quad = np.array([[2, 2], [40, 2], [40, 15], [2, 15]], np.float32)
    words = [RealWord(image=noise(20, 50), quad=quad, text=text) for text in ("Exit", "", "R&D", "no. 5")]
    assert [word.text for word in readable(words)] == ["Exit"]
