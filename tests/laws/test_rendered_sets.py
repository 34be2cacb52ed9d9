"""A rendered set follows from its seed, and its labels are the truth of its pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stn_deploy.data import open_dataset
from stn_deploy.errors import ArgumentError
from stn_deploy.training import load_real_words
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.real import respaced
from stn_deploy.training.render import CHUNK, COLUMNS, RenderSettings, render_scene, write_set
from stn_deploy.training.wordlist import Vocabulary

SETTINGS = RenderSettings(
    vocabulary=Vocabulary(fonts=(FALLBACK,)), count=CHUNK + 3, control_points=10, seed=6
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_set_is_the_same_for_one_and_for_two_processes(tmp_path: Path) -> None:
    counted: list[int] = []
    write_set(tmp_path / "alone", SETTINGS, progress=counted.append)
    write_set(tmp_path / "shared", SETTINGS, processes=2)
    alone = contents(tmp_path / "alone")
    assert alone == contents(tmp_path / "shared")
    assert len(alone) == SETTINGS.count + 1
    assert sum(counted) == SETTINGS.count


def test_a_longer_set_begins_with_the_shorter_one_and_another_seed_gives_another(tmp_path: Path) -> None:
    for name, count, seed in (("short", 3, 6), ("long", 5, 6), ("other", 5, 7)):
        write_set(tmp_path / name, replace(SETTINGS, count=count, seed=seed))
    short, long, other = (contents(tmp_path / name) for name in ("short", "long", "other"))
    assert all(short[name] == long[name] for name in short if name != "labels.tsv")
    assert long["labels.tsv"].startswith(short["labels.tsv"])
    assert not any(long[name] == other[name] for name in long)


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_a_set_opens_with_the_truth_of_its_pictures(tmp_path: Path, name: str) -> None:
    write_set(tmp_path / name, replace(SETTINGS, count=6))
    with open_dataset(tmp_path / name) as dataset:
        samples = list(dataset)
        images = [sample.image() for sample in samples]
        words, left_out = load_real_words(dataset)
    assert [sample.name for sample in samples] == [f"{index:06d}.png" for index in range(6)]
    assert left_out == {}
    for index, (sample, image, word) in enumerate(zip(samples, images, words, strict=True)):
        scene = render_scene(SETTINGS, index)
        assert np.array_equal(image, scene.image)
        assert sample.text == word.text == scene.word
        assert sample.points is not None
        assert sample.quad is not None
        assert np.abs(sample.points - scene.points).max() <= 0.005 + 1e-4
        assert np.array_equal(sample.quad, sample.points[[0, 4, 9, 5]])
        assert np.array_equal(word.scene(10).points, sample.points)


def test_the_table_has_its_columns_and_sizes(tmp_path: Path) -> None:
    write_set(tmp_path / "set", replace(SETTINGS, count=3, encoding="jpg"))
    header, *rows = (tmp_path / "set" / "labels.tsv").read_text().splitlines()
    assert header == "\t".join(COLUMNS)
    assert len(rows) == 3
    with open_dataset(tmp_path / "set") as dataset:
        for row, sample in zip(rows, dataset, strict=True):
            name, width, height = row.split("\t")[:3]
            assert name == sample.name
            assert name.endswith(".jpg")
            assert sample.image().shape == (int(height), int(width), 3)


def test_own_words_are_drawn(tmp_path: Path) -> None:
    vocabulary = Vocabulary(fonts=(FALLBACK,), words=("Exit", "Room 214"))
    write_set(tmp_path / "set", replace(SETTINGS, count=12, vocabulary=vocabulary))
    with open_dataset(tmp_path / "set") as dataset:
        assert {sample.text for sample in dataset} == {"Exit", "Room 214"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"control_points": 7}, "expected an even number of at least 4, got 7"),
        ({"encoding": "gif"}, "format: expected one of png, jpg, got 'gif'"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        replace(SETTINGS, **changes)


def test_no_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="processes: expected at least 1, got 0"):
        write_set(tmp_path / "set", SETTINGS, processes=0)


def test_respaced_points_lie_on_the_same_edges() -> None:
    points = np.array([[0, 0], [2, 1], [4, 0], [0, 5], [3, 7], [4, 6]], np.float32)
    assert np.array_equal(respaced(points, 6), points)
    finer = respaced(points, 10)
    assert finer[:5].tolist() == [[0, 0], [1, 0.5], [2, 1], [3, 0.5], [4, 0]]
    assert finer[[5, 7, 9]].tolist() == [[0, 5], [3, 7], [4, 6]]
