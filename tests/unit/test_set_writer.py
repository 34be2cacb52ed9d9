"""A set is there completely or not at all, and never over something else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from stn_deploy.data import open_dataset
from stn_deploy.data.set_writer import new_set
from stn_deploy.errors import ArgumentError, OutputError, StnDeployError
from tests.pictures import noise

LABELS = b"file\ttext\na.png\tx\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["set", "deep/set", "set.zip", "deep/set.ZIP"])
def test_a_set_appears_when_it_is_complete(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with new_set(path) as write:
        write("a.png", b"pixels")
        assert not path.exists()
        write("labels.tsv", LABELS)
    assert names(path.parent) == [path.name]
    with open_dataset(path) as dataset:
        assert [(sample.name, sample.text, sample.load()) for sample in dataset] == [
            ("a.png", "x", b"pixels")
        ]


def test_an_empty_folder_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with new_set(Path("empty")) as write:
        write("labels.tsv", LABELS)
    assert names(tmp_path) == ["empty"]
    assert (tmp_path / "empty" / "labels.tsv").read_bytes() == LABELS


def test_an_empty_folder_stays_the_one_it_was(tmp_path: Path) -> None:
    """It may be a link, a mounted volume, or the folder that a shell stands in."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    before = (tmp_path / "empty").stat().st_ino
    with new_set(tmp_path / "link") as write:
        write("a.png", b"pixels")
        assert not (tmp_path / "empty" / "a.png").exists()
        write("labels.tsv", LABELS)
    assert names(tmp_path / "empty") == ["a.png", "labels.tsv"]
    assert (tmp_path / "empty").stat().st_ino == before
    assert names(tmp_path) == ["empty", "link"]


def test_an_empty_folder_that_cannot_be_filled_is_empty_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move(source: Path, to: Path) -> Path:
        if to.name == "labels.tsv":
            raise OSError(5, "Input/output error")
        source.rename(to)
        return to

    monkeypatch.setattr(Path, "replace", move)

    def fill() -> None:
        with new_set(tmp_path) as write:
            write("a.png", b"pixels")
            write("labels.tsv", LABELS)

    with pytest.raises(OutputError, match="Input/output error"):
        fill()
    assert names(tmp_path) == []


def test_a_folder_has_the_rights_of_others(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with new_set(tmp_path / "set") as write:
        write("labels.tsv", LABELS)
    assert (tmp_path / "set").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("name", ["set", "set.zip"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_a_set_that_is_not_finished_leaves_nothing(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    def stop() -> None:
        with new_set(tmp_path / name) as write:
            write("a.png", noise(9, 9).tobytes())
            raise error

    with pytest.raises(error):
        stop()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("full", "expected an empty or absent folder"), ("file", "got a file"), ("a.zip", "a file already")],
)
def test_what_is_there_is_never_written_over(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "full").mkdir()
    for path in ("full/x", "file", "a.zip"):
        (tmp_path / path).write_text("mine")
    with pytest.raises(ArgumentError, match=message), new_set(tmp_path / name):
        pass
    assert (tmp_path / "full" / "x").read_text() == "mine"
    assert names(tmp_path) == ["a.zip", "file", "full"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/set: cannot be written"), new_set(tmp_path / "file" / "set"):
        pass


@pytest.mark.parametrize("name", ["set", "set.zip"])
def test_a_disk_that_is_full_is_named_and_leaves_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StnDeployError, match="No space left"), new_set(tmp_path / name) as write:
        write("a.png", b"pixels")
    monkeypatch.undo()
    assert names(tmp_path) == []
