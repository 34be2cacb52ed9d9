"""How far a build is: TensorRT's progress monitor as one small protocol, and Ctrl-C while it works."""

from __future__ import annotations

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


class Monitor:
    """A progress monitor for a library, and the exception that stopped the build, if one did.

    An exception must not travel through the library: it is kept, the build is told to stop, and `reraise`
    throws it afterwards. So Ctrl-C works, too.
    """

    def __init__(self, trt: Any, progress: Progress) -> None:
        """Make the monitor that the library ``trt`` is given."""
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
        return self._error is None

    def reraise(self) -> None:
        """Throw what stopped the build."""
        if self._error is not None:
            raise self._error
