"""NVIDIA's two engine libraries, TensorRT and TensorRT-RTX: finding them, and hearing what they log."""

from __future__ import annotations

import importlib
import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from stn_deploy.artifact import BACKENDS
from stn_deploy.errors import ArgumentError, EngineError, MissingDependency

_MODULES = {"tensorrt": ("tensorrt",), "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}
_OLDEST = {"tensorrt": (10, 0), "tensorrt-rtx": (1, 5)}


@dataclass(frozen=True)
class Library:
    """One installed library.

    name: tensorrt or tensorrt-rtx. version: such as 10.13.3.9. trt: its Python module.
    """

    name: str
    version: str
    trt: Any

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers, to compare."""
        return version_numbers(self.version)


class Log:
    """What a library says: its last messages, and which of them are errors."""

    def __init__(self, trt: Any) -> None:
        """Make the logger that every object of the library ``trt`` is given."""
        messages: deque[tuple[str, str]] = deque(maxlen=200)
        severity = trt.ILogger.Severity
        names = {int(getattr(severity, name)): name for name in ("INTERNAL_ERROR", "ERROR", "WARNING")}

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if int(severity) in names:
                    messages.append((names[int(severity)], message))

        self.messages = messages
        self.logger = Logger()

    def last(self, count: int = 3) -> str:
        """The last errors, or else warnings, as one text; it ends a sentence."""
        errors = [text for name, text in self.messages if name != "WARNING"]
        texts = errors or [text for _, text in self.messages]
        return "; ".join(text.strip() for text in texts[-count:]) or "its log says nothing"


def error_recorder(trt: Any, heard: list[str]) -> Any:
    """A recorder of TensorRT's: what is reported to it goes to ``heard``. Keep it as long as it is in use."""

    class Recorder(trt.IErrorRecorder):  # type: ignore[misc]
        """Notes descriptions; of the methods TensorRT calls but the last one."""

        def __init__(self) -> None:
            trt.IErrorRecorder.__init__(self)

        def get_num_errors(self) -> int:
            return len(heard)

        def get_error_code(self, _: int) -> Any:
            return trt.ErrorCodeTRT.UNSPECIFIED_ERROR

        def get_error_desc(self, index: int) -> str:
            return heard[index]

        def has_overflowed(self) -> bool:
            return False

        def clear(self) -> None:
            heard.clear()

        def report_error(self, _: Any, text: str) -> bool:
            heard.append(text)
            return False

    return Recorder()


def version_numbers(version: str) -> tuple[int, ...]:
    """10.13.3.9 -> (10, 13, 3, 9); what is not a number ends it."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def find_library(name: str) -> Library:
    """The library of a name.

    Raises:
        ArgumentError: no such name.
        MissingDependency: not installed.
        EngineError: it is installed but does not load, or is too old.
    """
    if name not in BACKENDS:
        raise ArgumentError(f"backend: expected one of {', '.join(BACKENDS)}, got {name!r}")
    for module in _MODULES[name]:
        try:
            trt = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise EngineError(f"{name}: is installed, but {error.name} is not, which it needs") from error
            continue
        except (ImportError, OSError, RuntimeError) as error:
            if isinstance(error.__cause__, KeyboardInterrupt):  # Ctrl-C while pybind11 starts the module
                raise error.__cause__ from None
            raise EngineError(f"{name}: is installed, but does not load: {error}") from error
        library = Library(name, str(trt.__version__), trt)
        if library.release < _OLDEST[name]:
            oldest = ".".join(map(str, _OLDEST[name]))
            raise EngineError(f"{name}: expected version {oldest} or newer, found {library.version}")
        return library
    raise MissingDependency.of(name, name)


def find_any_library() -> Library:
    """The library that is installed; TensorRT where both are.

    Raises:
        MissingDependency: neither is installed.
        EngineError: what is installed does not load, or is too old.
    """
    for name in BACKENDS:
        try:
            return find_library(name)
        except MissingDependency:
            continue
    raise MissingDependency(
        "neither TensorRT nor TensorRT-RTX is installed; TensorRT builds for the GPU of this machine: "
        "pip install 'stn-deploy[tensorrt]'; TensorRT-RTX builds for GPUs that are not here: "
        "pip install 'stn-deploy[tensorrt-rtx]' (in the checkout: pip install -c constraints.txt "
        "'.[tensorrt-rtx]'); --backend onnxruntime needs neither"
    )
