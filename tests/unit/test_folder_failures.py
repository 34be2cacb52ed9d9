"""Output that cannot be written: nothing half, nothing lost, and the inputs stay what they were."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from stn_deploy.data import FoundImage, find_images
from stn_deploy.errors import OutputError
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.folder import LINES, rectify_files
from tests.pictures import smooth


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(5):
        assert cv2.imwrite(str(folder / f"{index}.png"), smooth(30, 80, seed=index))
    return folder


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("threshold", [0, 1], ids=["straightened", "copied"])
def test_a_full_disk_leaves_what_was_finished_with_its_lines_and_nothing_half(
    threshold: float, source: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    write = Path.write_bytes

    def fill_up(path: Path, data: bytes) -> int:
        if "3.png" in path.name:
            write(path, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(
        OutputError, match=r"3\.png: cannot be written \(No space left on device\); free some space"
    ):
        rectify_files(find_images([source]), Rectifier(model, threshold=threshold), output)
    assert everything_in(output).keys() == {"0.png", "1.png", "2.png", LINES}
    lines = [json.loads(line) for line in (output / LINES).read_text().splitlines()]
    assert [line["file"] for line in lines] == ["0.png", "1.png", "2.png"]
    assert all(cv2.imread(str(output / line["output"])) is not None for line in lines)


def test_a_result_is_never_seen_half_written(
    source: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its own name a file appears complete: it is written under another name first."""
    output, write = tmp_path / "out", Path.write_bytes

    def watch(path: Path, data: bytes) -> int:
        assert path.suffix == ".part"
        assert path.name.startswith(".")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", watch)
    assert rectify_files(find_images([source]), Rectifier(model, threshold=0), output) == 0
    assert len(everything_in(output)) == 6


def test_an_output_folder_that_is_a_file_is_refused(source: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for output in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(OutputError, match="cannot be written.*name a folder"):
            rectify_files(find_images([source]), Rectifier(model), output)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_folder_in_the_place_of_a_result_is_refused(source: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    (output / "1.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"1\.png: cannot be written"):
        rectify_files(find_images([source]), Rectifier(model), output)
    assert everything_in(output).keys() == {"0.png", LINES}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user whom modes bind")
def test_a_folder_that_may_not_be_written_is_refused(source: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="name a folder that you may write"):
        rectify_files(find_images([source]), Rectifier(model), output)


def test_an_output_over_the_input_is_refused(source: Path, model: Path, tmp_path: Path) -> None:
    before = everything_in(tmp_path)
    (tmp_path / "link").symlink_to(source)
    for output in (source, tmp_path / "link", source / ".." / "in"):
        with pytest.raises(OutputError, match="would write over its own input"):
            rectify_files(find_images([source]), Rectifier(model, threshold=0), output)
    assert everything_in(source) == {name.removeprefix("in/"): data for name, data in before.items()}


def test_an_output_over_another_input_is_refused(source: Path, model: Path) -> None:
    """A folder of results inside the folder of inputs, found again by a second run."""
    results = source / "results"
    results.mkdir()
    assert cv2.imwrite(str(results / "0.png"), np.full((20, 60, 3), 77, np.uint8))
    before = everything_in(source)
    with pytest.raises(OutputError, match="would write over"):
        rectify_files(find_images([source]), Rectifier(model, threshold=0), results)
    assert everything_in(source) == before


def test_a_converted_result_over_another_input_is_refused(model: Path, tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "0.gif"), smooth(30, 80))
    (tmp_path / "out").mkdir()
    assert cv2.imwrite(str(tmp_path / "out" / "0.png"), smooth(30, 80, seed=1))
    found = [
        FoundImage(tmp_path / "0.gif", Path("0.gif")),
        FoundImage(tmp_path / "out" / "0.png", Path("other.png")),
    ]
    before = (tmp_path / "out" / "0.png").read_bytes()
    with pytest.raises(OutputError, match="would write over"):
        rectify_files(found, Rectifier(model, threshold=0), tmp_path / "out")
    assert (tmp_path / "out" / "0.png").read_bytes() == before
