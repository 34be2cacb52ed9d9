"""What a plugin refuses, and why: TensorRT itself says no more than that it could not make the plugin."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from stn_deploy.errors import EngineError
from stn_deploy.runtime.engines.libraries import Library, error_recorder


class Refusals:
    """Listens within ``with``; an `EngineError` that leaves it is told the reasons that were heard.

    A library reports them to the error recorder of TensorRT's registry, and ours stays there until the end; a
    recorder that a program has set of its own stays, too. An ahead-of-time plugin keeps a list; see `follow`.
    """

    def __init__(self, library: Library) -> None:
        """Nothing was heard yet."""
        self._library = library
        self._heard: list[str] = []
        self._lists: list[Sequence[str]] = [self._heard]
        self._recorder: Any = None

    def follow(self, reasons: Sequence[str]) -> None:
        """Look into one more list at the end."""
        self._lists.append(reasons)

    def reasons(self) -> list[str]:
        """All that were heard, each once; the first one is the cause."""
        return list(dict.fromkeys(reason for each in self._lists for reason in each))

    def __enter__(self) -> Refusals:
        trt = self._library.trt
        if hasattr(trt, "IErrorRecorder") and hasattr(trt, "get_plugin_registry"):
            registry = trt.get_plugin_registry()
            if registry.error_recorder is None:
                self._recorder = error_recorder(trt, self._heard)
                registry.error_recorder = self._recorder
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recorder is not None:
            self._library.trt.get_plugin_registry().error_recorder = None
            self._recorder = None
        reasons = [reason for reason in self.reasons() if reason not in str(error)]
        if isinstance(error, EngineError) and reasons:
            raise EngineError(f"{error} ({'; '.join(reasons[:3])})") from error
