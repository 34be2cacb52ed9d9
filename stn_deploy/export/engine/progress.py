"""How far a build is: TensorRT's progress monitor as one small protocol, and Ctrl-C while it works."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any, Protocol


class Progress(Protocol):
    """Looks on while an engine is built. Phases lie within each other; several may have the same name."""

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins inside another one; the whole build has no parent."""

    def step(self, phase: str, done: int) -> None:
        """So many steps of it are done."""

    def end(self, phase: str) -> None:
        """It is over, perhaps before its last step."""


class Silent:
    """Looks on and says nothing."""

    def begin(self, phase: str, parent: str | None, steps: int) -> None:
        """Nothing."""

    def step(self, phase: str, done: int) -> None:
        """Nothing."""

    def end(self, phase: str) -> None:
        """Nothing."""


class Compiling:
    """Tells a `Progress` how far a plugin is compiled; see `stn_deploy.plugins.library.Progress`."""

    PHASE = "compiling the plugin"

    def __init__(self, progress: Progress) -> None:
        """Nothing is compiled yet, and perhaps nothing will be."""
        self._progress, self._steps = progress, 0

    def __call__(self, done: int, steps: int, _: str) -> None:
        """So many of the steps are done."""
        if steps != self._steps:  # the first call; or another process was waited for in vain
            self._progress.begin(self.PHASE, None, steps)
            self._steps = steps
        self._progress.step(self.PHASE, done)
        if done == steps:
            self._progress.end(self.PHASE)


class Interrupts:
    """Ctrl-C, kept until a library has returned: thrown within its calls of ours, it would be swallowed.

    Inside ``with`` it is only noted; on leaving it is thrown, in the place of whatever it led to. A handler
    that a program has set of its own stays, as do those of other threads than the main one.
    """

    def __init__(self) -> None:
        """Nothing was noted yet."""
        self.noted = False
        self._ours = False

    def __enter__(self) -> Interrupts:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._ours = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.noted:
            raise KeyboardInterrupt

    def _note(self, *_: object) -> None:
        self.noted = True


class Monitor:
    """A progress monitor for a library, and the exception that stopped the build, if one did.

    An exception must not travel through the library: it is kept, the build is told to stop, and `reraise`
    throws it afterwards. An interrupt that was noted stops the build, too.
    """

    def __init__(self, trt: Any, progress: Progress, interrupts: Interrupts) -> None:
        """Make the monitor that the library ``trt`` is given."""
        self._interrupts = interrupts
        self._error: BaseException | None = None
        keep = self._keep

        class Adapter(trt.IProgressMonitor):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                keep(progress.begin, phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return keep(progress.step, phase_name, step + 1)

            def phase_finish(self, phase_name: str) -> None:
                keep(progress.end, phase_name)

        self.monitor = Adapter()

    def _keep(self, call: Any, *arguments: Any) -> bool:
        """Call, and say whether to go on."""
        try:
            if self._error is None:
                call(*arguments)
        except BaseException as error:  # noqa: BLE001, it is thrown again by reraise
            self._error = error
        return self._error is None and not self._interrupts.noted

    def reraise(self) -> None:
        """Throw what stopped the build."""
        if self._error is not None:
            raise self._error
