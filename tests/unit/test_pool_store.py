"""Parts of a pool come back as they went in, or not at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stn_deploy.errors import OutputError
from stn_deploy.training.pool_store import PoolStore, digest_of, digest_of_words
from tests.small_training import small_words

ARRAYS: dict[str, Any] = {
    "bytes": np.arange(240, dtype=np.uint8).reshape(5, 48),
    "floats": np.linspace(0, 1, 7, dtype=np.float32),
}


@pytest.fixture
def store(tmp_path: Path) -> PoolStore:
    kept = PoolStore(folder=tmp_path / "pool", digest="0123456789abcdef")
    kept.write("part", ARRAYS)
    return kept


def test_a_part_comes_back(store: PoolStore) -> None:
    found = store.read("part")
    assert found is not None
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_a_part_of_other_settings_is_not_found(store: PoolStore) -> None:
    assert store.read("another") is None
    assert dataclasses.replace(store, digest="f" * 64).read("part") is None


def test_a_damaged_part_is_not_found(store: PoolStore) -> None:
    (file,) = store.folder.iterdir()
    whole = file.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert store.read("part") is None
    place = whole.index(ARRAYS["bytes"].tobytes()) + 100
    file.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
    assert store.read("part") is None


def test_only_parts_are_removed(store: PoolStore) -> None:
    (store.folder / "notes.txt").write_text("mine")
    store.remove()
    assert [path.name for path in store.folder.iterdir()] == ["notes.txt"]
    (store.folder / "notes.txt").unlink()
    store.remove()
    store.remove()
    assert not store.folder.exists()


def test_a_part_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="the rendered pictures cannot be kept.*make room"):
        PoolStore(folder=tmp_path / "file", digest="0").write("part", ARRAYS)


def test_digests_tell_apart_what_differs() -> None:
    words = small_words()
    other = words[0].image.copy()
    other[0, 0, 0] ^= 1
    sets = [words, words[:-1], words[::-1], [dataclasses.replace(words[0], image=other), *words[1:]]]
    assert len({digest_of_words(each) for each in sets}) == len(sets)
    assert digest_of_words(small_words()) == digest_of_words(words)
    zeros = np.zeros(6, np.float32)
    parts: list[list[object]] = [
        ["ab", "c"],
        ["a", "bc"],
        [zeros],
        [zeros.reshape(2, 3)],
        [zeros.astype(np.int32)],
    ]
    assert len({digest_of(each) for each in parts}) == len(parts)
