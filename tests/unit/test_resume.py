"""A training that was interrupted ends as if it had not been; nothing is written over by mistake."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stn_deploy.errors import ArtifactError, OutputError, TrainingError
from stn_deploy.training import Recipe, TrainingResult, loop, pool, train
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.pool_store import PoolStore
from stn_deploy.training.run_folder import RunFolder
from stn_deploy.training.state import State, read_state, write_state
from tests.small_training import SMALL, Interrupted, interrupted_at, journal, render_once, small_words


@pytest.fixture(scope="module", autouse=True)
def rendering() -> Iterator[None]:
    """Pictures are the same for all."""
    with pytest.MonkeyPatch.context() as patch:
        render_once(patch)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training without interruption."""
    folder = tmp_path_factory.mktemp("finished")
    go(folder)
    return folder


def go(folder: Path, recipe: Recipe = SMALL, **options: object) -> TrainingResult:
    return train(recipe, folder, words=small_words(), processes=1, **options)  # type: ignore[arg-type]


def go_until(step: int, folder: Path, **options: object) -> None:
    """Train so many steps, and no further."""
    with interrupted_at(step):
        go(folder, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [0, 2, 5, 8, 15])
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    step: int, finished: Path, tmp_path: Path
) -> None:
    go_until(step, tmp_path)
    go(tmp_path, resume=True)
    for name in ("checkpoint.safetensors", "samples/epoch_001.png", "samples/epoch_002.png"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes(), name
    for line, expected in zip(journal(tmp_path), journal(finished), strict=True):
        assert line == pytest.approx(expected)
    ours, theirs = read_state(tmp_path / "state.safetensors"), read_state(finished / "state.safetensors")
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert all(np.array_equal(value, theirs.tensors[name]) for name, value in ours.tensors.items())


def test_what_was_rendered_is_not_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = PoolStore.write
    rendered: list[str] = []

    def interrupted(store: PoolStore, part: str, arrays: dict) -> None:
        if len(rendered) == 1:
            raise Interrupted
        rendered.append(part)
        write(store, part, arrays)

    monkeypatch.setattr(PoolStore, "write", interrupted)
    with pytest.raises(Interrupted):
        go(tmp_path)
    assert rendered == ["rendered-000000"]
    monkeypatch.setattr(PoolStore, "write", lambda store, part, arrays: rendered.append(part))
    go_until(0, tmp_path, resume=True)
    assert rendered[1:] == ["real-000000"]


def test_a_checkpoint_is_there_from_the_first_epoch_on(tmp_path: Path) -> None:
    go_until(9, tmp_path)
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert len(journal(tmp_path)) == 1


def test_a_finished_training_has_nothing_left_to_do(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    result = go(finished, resume=True, report=lambda *_: pytest.fail("work began"))
    assert result.metrics["epoch"] == 2
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()} == before


def test_a_folder_that_holds_a_training_is_not_written_over(finished: Path, tmp_path: Path) -> None:
    go_until(5, tmp_path)
    with pytest.raises(
        OutputError, match=r"unfinished training \(recipe small, step 3 of 16\); go on with --resume"
    ):
        go(tmp_path)
    with pytest.raises(OutputError, match="holds a finished training"):
        go(finished)


def test_a_folder_without_a_training_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training to go on with.*start one without --resume"):
        go(tmp_path, resume=True)


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"nothing of ours")
    for resume in (True, False):
        with pytest.raises(ArtifactError, match="not a readable state of a training"):
            go(tmp_path, resume=resume)


def test_another_training_is_not_gone_on_with_and_the_differences_are_named(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(message: str, recipe: Recipe = SMALL, words: int = 10) -> None:
        with pytest.raises(TrainingError, match=message):
            train(recipe, finished, words=small_words()[:words], resume=True)

    refused("batch was 32 and is 16", dataclasses.replace(SMALL, batch=16))
    refused(
        "clip was 2.0 and is 1.0; seed was 20 and is 3",
        dataclasses.replace(SMALL, clip=1.0, seed=3),
    )
    refused(r"real words was 10 \(\w{12}\) and is 9 \(\w{12}\)", words=9)
    monkeypatch.setattr(pool, "find_fonts", lambda: (FALLBACK, FALLBACK))
    refused(r"fonts was 1 \(\w{12}\) and is 2 \(\w{12}\)")


def test_a_state_is_on_the_disk_before_the_last_one_goes(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut would leave neither."""
    state, path = read_state(finished / "state.safetensors"), tmp_path / "state.safetensors"
    done: list[str] = []
    synced, moved = os.fsync, Path.replace

    def sync(file: int) -> None:
        done.append("sync")
        synced(file)

    def move(source: Path, to: Path) -> Path:
        done.append("rename")
        return moved(source, to)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", move)
    write_state(state, path)
    assert done == ["sync", "rename"]
    assert path.read_bytes() == (finished / "state.safetensors").read_bytes()


def test_a_state_that_cannot_be_written_leaves_the_last_one(finished: Path, tmp_path: Path) -> None:
    def full(state: State, path: Path) -> None:
        if state.counts["step"] >= 6:
            raise OutputError("the disk is full")
        write_state(state, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "write_state", full)
        with pytest.raises(OutputError, match="the disk is full"):
            go(tmp_path)
    assert RunFolder(tmp_path).found().counts["step"] == 3
    go(tmp_path, resume=True)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == (
        finished / "checkpoint.safetensors"
    ).read_bytes()
