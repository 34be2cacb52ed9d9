"""A run that was stopped anywhere leaves whole files, and a later one goes on to the same result."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from stn_deploy.data import find_images
from stn_deploy.errors import OutputError
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.folder import LINES, FileResult, rectify_files
from stn_deploy.runtime.folder_group import GROUP
from stn_deploy.runtime.folder_journal import JOURNAL, Journal
from tests.pictures import smooth

COUNT = 2 * GROUP + 8
NAMES = [f"{index}{'.png' if index % 3 else '.jpg'}" for index in range(COUNT)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for index, name in enumerate(NAMES):
        assert cv2.imwrite(str(folder / name), smooth(20 + index % 9, 40 + index % 13, seed=index))
    (folder / NAMES[5]).write_bytes(b"no image")
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / LINES).read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "milliseconds"} for line in lines]


def straighten(
    source: Path, output: Path, *, workers: int = 2, resume: bool = False, **settings: Any
) -> list[str]:
    """Names of the files that were done, not skipped."""
    fresh: list[str] = []

    def done(result: FileResult) -> None:
        if result.kept is None:
            fresh.append(result.source.relative.as_posix())

    rectifier = Rectifier(**{"threshold": 0.3, "height": 12, **settings})
    rectify_files(find_images([source]), rectifier, output, workers=workers, skip_existing=resume, done=done)
    return fresh


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed")
    assert straighten(source, output, workers=1) == NAMES
    assert {line.get("applied") for line in lines_of(output)} == {True, False, None}
    return output


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_threads_changes_no_byte(
    source: Path, undisturbed: Path, tmp_path: Path, workers: int
) -> None:
    straighten(source, tmp_path, workers=workers)
    assert lines_of(tmp_path) == lines_of(undisturbed)
    files, expected = files_of(tmp_path), files_of(undisturbed)
    assert files.pop(LINES)
    assert expected.pop(LINES)
    assert files == expected


class Fault:
    """Does something instead of the n-th step of a run: of writing, renaming, or entering in the journal."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int, strike: Callable[[], None]) -> None:
        self.steps, self._step, self._strike, self._lock = 0, step, strike, threading.Lock()
        for kind, name in ((Path, "write_bytes"), (Path, "replace"), (Journal, "add"), (Journal, "finish")):
            self._replace(patch, kind, name)

    def _replace(self, patch: pytest.MonkeyPatch, kind: type, name: str) -> None:
        original = getattr(kind, name)

        def watched(*arguments: Any) -> Any:
            with self._lock:
                self.steps += 1
                struck = self.steps == self._step
                if struck and name == "write_bytes":
                    original(arguments[0], arguments[1][:10])
                if struck:
                    self._strike()
            return original(*arguments)

        patch.setattr(kind, name, watched)


STEPS = (1, 2, 3, 4, 20, 21, 37, 38, 60, 75, 84)


def test_the_steps_of_a_run_are_what_the_faults_hit(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(monkeypatch, 0, lambda: None)
    straighten(source, tmp_path)
    files = COUNT - 1
    assert fault.steps == 2 * (1 + files) + 3 + 2  # the journal and its end, each file, each group
    assert max(STEPS) <= fault.steps


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_is_gone_on_with_to_the_same_result(
    source: Path, undisturbed: Path, tmp_path: Path, step: int
) -> None:
    child = os.fork()
    if child == 0:
        Fault(pytest.MonkeyPatch(), step, lambda: os.kill(os.getpid(), signal.SIGKILL))
        straighten(source, tmp_path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    expected = files_of(undisturbed)
    for name, data in files_of(tmp_path).items():
        assert name.startswith(".") or name == LINES or data == expected[name], "a file is whole or not there"
    entered = (tmp_path / JOURNAL).read_bytes().splitlines() if (tmp_path / JOURNAL).exists() else []
    if (tmp_path / LINES).exists():
        entered = (tmp_path / LINES).read_bytes().splitlines()
    done = {line["file"] for line in map(json.loads, entered) if "error" not in line}
    assert all((tmp_path / name).exists() for name in done), "what is listed is there"
    fresh = straighten(source, tmp_path, resume=True)
    assert fresh == [name for name in NAMES if name not in done]
    assert lines_of(tmp_path) == lines_of(undisturbed)
    assert {name: data for name, data in files_of(tmp_path).items() if name != LINES} == {
        name: data for name, data in expected.items() if name != LINES
    }


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("step", [3, 40, 70])
def test_ctrl_c_keeps_and_lists_what_is_finished(
    source: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The signal comes to the main thread while others write."""
    with monkeypatch.context() as patch:
        Fault(patch, step, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            straighten(source, tmp_path)
    listed = [line["file"] for line in lines_of(tmp_path)]
    assert listed == [name for name in NAMES if name in listed]
    images = files_of(tmp_path).keys() - {LINES}
    assert images == {line["output"] for line in lines_of(tmp_path) if "output" in line}
    straighten(source, tmp_path, resume=True)
    assert lines_of(tmp_path) == lines_of(undisturbed)


def test_nothing_is_done_twice_and_errors_are_tried_again(source: Path, tmp_path: Path) -> None:
    straighten(source, tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in NAMES if name != NAMES[5]}
    assert straighten(source, tmp_path, resume=True) == [NAMES[5]]
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    assert [line["file"] for line in lines_of(tmp_path)] == NAMES


def small(folder: Path) -> Path:
    folder.mkdir()
    for index in range(4):
        assert cv2.imwrite(str(folder / f"{index}.png"), smooth(20, 50, seed=index))
    return folder


def change_content(source: Path, output: Path) -> None:
    assert cv2.imwrite(str(source / "1.png"), smooth(20, 50, seed=9))


def touch(source: Path, output: Path) -> None:
    os.utime(source / "1.png", (1, 1))


def delete_output(source: Path, output: Path) -> None:
    (output / "1.png").unlink()


def cut_output(source: Path, output: Path) -> None:
    (output / "1.png").write_bytes((output / "1.png").read_bytes()[:-5])


def damage_line(source: Path, output: Path) -> None:
    lines = (output / LINES).read_text().splitlines()
    lines[1] = lines[1][:30]
    (output / LINES).write_text("\n".join(lines))


@pytest.mark.parametrize("change", [change_content, touch, delete_output, cut_output, damage_line])
def test_what_changed_since_is_done_again(tmp_path: Path, change: Callable[[Path, Path], None]) -> None:
    source, output = small(tmp_path / "in"), tmp_path / "out"
    assert len(straighten(source, output)) == 4
    change(source, output)
    assert straighten(source, output, resume=True) == ["1.png"]
    assert straighten(source, output, resume=True) == []
    assert straighten(source, tmp_path / "new") == ["0.png", "1.png", "2.png", "3.png"]
    assert lines_of(output) == lines_of(tmp_path / "new")
    assert (output / "1.png").read_bytes() == (tmp_path / "new" / "1.png").read_bytes()


@pytest.mark.parametrize(
    "other", [{"height": 13}, {"threshold": 0.31}, {"height": None, "size": (12, 40)}, {"model": ...}]
)
def test_with_other_settings_all_is_done_again(tmp_path: Path, other: dict[str, Any], request: Any) -> None:
    if "model" in other:
        other = {"model": request.getfixturevalue("model")}
    source, output = small(tmp_path / "in"), tmp_path / "out"
    straighten(source, output)
    assert len(straighten(source, output, resume=True, **other)) == 4
    assert straighten(source, output, resume=True, **other) == []


def test_a_line_that_lost_its_end_still_counts(tmp_path: Path) -> None:
    source, output = small(tmp_path / "in"), tmp_path / "out"
    straighten(source, output)
    (output / LINES).write_bytes((output / LINES).read_bytes()[:-1])
    before = lines_of(output)
    assert cv2.imwrite(str(source / "4.png"), smooth(20, 50, seed=7))
    assert straighten(source, output, resume=True) == ["4.png"]
    assert lines_of(output)[:4] == before


def test_new_inputs_are_done_and_lines_stay_in_order(tmp_path: Path) -> None:
    source, output = small(tmp_path / "in"), tmp_path / "out"
    straighten(source, output)
    for name in ("00.png", "2b.png"):
        assert cv2.imwrite(str(source / name), smooth(20, 50, seed=7))
    assert set(straighten(source, output, resume=True)) == {"00.png", "2b.png"}
    listed = [line["file"] for line in lines_of(output)]
    assert listed == [image.relative.as_posix() for image in find_images([source])]


def test_leftovers_of_a_killed_run_go_and_no_other_file_does(tmp_path: Path) -> None:
    source, output = small(tmp_path / "in"), tmp_path / "out"
    output.mkdir()
    left = [".1.png.0123abcd.part", f".{LINES}.0123abcd.part", f".{JOURNAL}.0123abcd.part"]
    foreign = [".other.png.0123abcd.part", ".1.png.part", "1.png.0123abcd.part", ".hidden.png"]
    for name in (*left, *foreign):
        (output / name).write_bytes(b"half")
    straighten(source, output)
    assert files_of(output).keys() == {*foreign, LINES, *(f"{index}.png" for index in range(4))}


def test_a_disk_that_is_full_for_the_journal_loses_no_line_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, {0: b'{"file": "a"}\n'})
    journal.add({2: {"file": "c"}})
    with monkeypatch.context() as patch:
        file = journal._file

        class Full:
            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def write(self, data: bytes) -> int:
                if len(data) < 15:
                    raise OSError(28, "No space left on device")
                return file.write(data[:10])

        patch.setattr(journal, "_file", Full())
        with pytest.raises(OSError, match="No space"):
            journal.add({3: {"file": "d"}})
    journal.add({1: {"file": "b"}})
    journal.finish()
    assert lines_of(tmp_path) == [{"file": "a"}, {"file": "b"}, {"file": "c"}]
    assert files_of(tmp_path).keys() == {LINES}


def test_a_folder_in_the_place_of_the_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out" / LINES).mkdir(parents=True)
    with pytest.raises(OutputError, match=r"rectified\.jsonl: cannot be written"):
        straighten(small(tmp_path / "in"), tmp_path / "out")
    assert (tmp_path / "out" / JOURNAL).exists(), "a later run reads it"


def test_two_runs_into_one_folder_spoil_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = Journal(tmp_path, {}), Journal(tmp_path, {})
    for journal, name in ((one, "a"), (other, "b")):
        journal.add({0: {"file": name}})
    one.finish()
    assert lines_of(tmp_path) == [{"file": "a"}]
    other.finish()
    assert lines_of(tmp_path) == [{"file": "b"}]
    assert files_of(tmp_path).keys() == {LINES}
