"""Looking on while an engine is built, and stopping it: every step is told, and Ctrl-C falls nowhere."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from stn_deploy.errors import EngineError
from stn_deploy.export.engine import build_engine
from stn_deploy.export.engine.progress import Interrupts
from tests.fake_cuda import FakeCuda
from tests.fake_engine_library import PHASES, left_in, with_version


class Watcher:
    """Keeps what it is told; raises at a step, if it is given an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.told: list[tuple[object, ...]] = []
        self.error = error

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        self.told.append(("begin", phase, parent, steps))

    def step(self, phase: str, done: int) -> None:
        self.told.append(("step", phase, done))
        if self.error is not None:
            raise self.error

    def end(self, phase: str) -> None:
        self.told.append(("end", phase))


def test_progress_has_every_phase_and_every_step(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.13.3.9", cuda)
    watcher = Watcher()
    build_engine(model, tmp_path / "x.engine", progress=watcher)
    expected: list[tuple[object, ...]] = []
    for phase, parent, steps in PHASES:
        expected.append(("begin", phase, parent, steps))
        expected += [("step", phase, done + 1) for done in range(steps)]
    assert watcher.told == [*expected, *(("end", phase) for phase, _, _ in reversed(PHASES))]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug of the watcher")])
def test_what_is_raised_while_looking_on_stops_the_build_and_comes_through(
    error: BaseException, model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.13.3.9", cuda)
    watcher = Watcher(error)
    with pytest.raises(type(error)):
        build_engine(model, tmp_path / "x.engine", progress=watcher)
    assert [told for told in watcher.told if told[0] == "step"] == [("step", PHASES[0][0], 1)]
    assert left_in(tmp_path) == set()


class Impatient(Watcher):
    """Presses Ctrl-C at every step."""

    def step(self, phase: str, done: int) -> None:
        super().step(phase, done)
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as Python begins with it; whoever is started in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_the_build_without_an_exception_inside_the_library(
    model: Path, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_version(monkeypatch, "10.13.3.9", cuda)
    watcher = Impatient()
    with pytest.raises(KeyboardInterrupt):
        build_engine(model, tmp_path / "x.engine", progress=watcher)
    assert [told for told in watcher.told if told[0] == "step"] == [("step", PHASES[0][0], 1)]
    assert left_in(tmp_path) == set()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_that_the_library_does_not_ask_about_is_thrown_when_it_returns() -> None:
    reached = []

    def build() -> None:
        with Interrupts():
            signal.raise_signal(signal.SIGINT)
            reached.append("the library's own work")
            raise EngineError("it was stopped")

    with pytest.raises(KeyboardInterrupt):
        build()
    assert reached == ["the library's own work"]


def test_a_handler_that_a_program_set_for_ctrl_c_stays() -> None:
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append("theirs"))
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
        assert (seen, interrupts.noted) == (["theirs"], False)
    finally:
        signal.signal(signal.SIGINT, before)
