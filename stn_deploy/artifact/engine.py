"""What stands beside a built engine: a JSON file that says from what, for what and with what it was built."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stn_deploy.artifact.profile import Profile
from stn_deploy.artifact.spec import RectifierSpec
from stn_deploy.errors import ArgumentError, ArtifactError

ENGINE_FORMAT = 1
"""Version of the file; a newer one is refused."""
BACKENDS = ("tensorrt", "tensorrt-rtx")
PLUGINS = ("library", "ahead of time")
"""Ways of our kernel into an engine: a library that must be loaded with it, or PTX that is stored in it."""


def _text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _file_name(value: object) -> bool:
    """A name without a folder: what it names stands beside the engine."""
    return _text(value) and value not in ("", "..") and value == Path(str(value)).name


def _capability(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d+\.\d+", value) is not None


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _plugin(value: object) -> bool:
    if not isinstance(value, Mapping) or {*value} != {"kind", "file", "sha256"}:
        return value is None
    named = _file_name(value["file"]) or (value["kind"] == "library" and value["file"] == "")
    return value["kind"] in PLUGINS and named and _text(value["sha256"])


def _tuple_of(allowed: Callable[[Any], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, tuple) and all(map(allowed, value))


_TEXT = ("text", _text)
_FLAG = ("True or False", lambda value: isinstance(value, bool))
_ALLOWED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "backend": (f"one of {', '.join(BACKENDS)}", lambda value: value in BACKENDS),
    "version": _TEXT,
    "gpu": ("text or None", lambda value: value is None or _text(value)),
    "compute_capabilities": ("texts such as 8.6", _tuple_of(_capability)),
    "hardware_compatible": _FLAG,
    "version_compatible": _FLAG,
    "precision": _TEXT,
    "workspace": ("MiB or None", lambda value: value is None or _count(value)),
    "plugin": (f"kind ({' or '.join(PLUGINS)}), file name and SHA-256, or None", _plugin),
    "model": ("a file name", _file_name),
    "sha256": _TEXT,
    "size": ("a number of bytes", _count),
    "layers": ("mappings", _tuple_of(lambda value: isinstance(value, Mapping))),
    "stn_deploy": _TEXT,
}
"""For each field that JSON may have wrong what is expected, and whether a value is that."""


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """All that is known of an engine without loading it.

    backend, version: the library that built it, such as tensorrt 10.13.3.9; engines belong to one version.
    gpu: name of the GPU that it was built on; None where none was needed.
    compute_capabilities: of the GPUs that it runs on, such as 8.6. hardware_compatible: also on any GPU of
        compute capability 8.0 or newer. version_compatible: also with newer versions of the library.
    precision: of the localisation network: float32, float16, int8, or int8 weights where activations are not.
    profile: sizes of the input. workspace: MiB of scratch memory allowed; None for no limit.
    plugin: kind, file name and SHA-256 of our kernel in it, None without. A library it needs again; its name
        is empty where the program that built had loaded it. PTX, of the kind ahead of time, is inside.
    model: name of the .onnx file. spec: its contract, with its digest.
    sha256, size: of the engine's bytes.
    layers: for each grid sample of the network its interpolation and padding, as the library understood them.
    """

    backend: str
    version: str
    gpu: str | None
    compute_capabilities: tuple[str, ...]
    hardware_compatible: bool
    version_compatible: bool
    precision: str
    profile: Profile
    workspace: int | None
    plugin: Mapping[str, str] | None
    model: str
    spec: RectifierSpec
    sha256: str
    size: int
    layers: tuple[Mapping[str, str], ...]
    stn_deploy: str
    engine_format: int = ENGINE_FORMAT

    def __post_init__(self) -> None:
        for name, (expected, allowed) in _ALLOWED.items():
            if not allowed(value := getattr(self, name)):
                raise ArgumentError(f"{name}: expected {expected}, got {value!r}")

    def to_values(self) -> dict[str, Any]:
        """The record as values that JSON knows."""
        values = dataclasses.asdict(self) | {"spec": json.loads(self.spec.to_json())}
        found: dict[str, Any] = json.loads(json.dumps(values, default=list))
        return found

    def to_json(self) -> str:
        """The record as JSON, readable."""
        return json.dumps(self.to_values(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, name: str = "engine") -> EngineRecord:
        """The record that `to_json` wrote.

        Args:
            text: JSON. name: of the file it came from, for messages.
        Raises:
            ArtifactError: not such JSON, or of a newer format.
        """
        try:
            values = json.loads(text)
            version = int(values["engine_format"])
            if version > ENGINE_FORMAT:
                raise ArtifactError(
                    f"{name}: engine format {version} is newer than {ENGINE_FORMAT}, the newest that this "
                    "stn-deploy knows; pip install --upgrade stn-deploy"
                )
            known = {item.name for item in dataclasses.fields(cls)}
            values = {key: value for key, value in values.items() if key in known}
            batch, canvas = values["profile"]["batch"], [tuple(size) for size in values["profile"]["canvas"]]
            values["profile"] = Profile(batch=tuple(batch), canvas=tuple(canvas))  # type: ignore[arg-type]
            values["spec"] = RectifierSpec.from_json(json.dumps(values["spec"]), name=name)
            for key in ("compute_capabilities", "layers"):
                values[key] = tuple(values[key])
            return cls(**values)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:  # ArgumentError is a ValueError
            raise ArtifactError(f"{name}: damaged, not a record of stn-deploy build ({error})") from error

    def built_for(self) -> str:
        """Library and GPUs in one line."""
        gpus = f"compute capability {', '.join(self.compute_capabilities) or 'unknown'}"
        if self.hardware_compatible:
            gpus += " and any of 8.0 or newer"
        newer = " or newer" if self.version_compatible else ""
        on = f" ({self.gpu})" if self.gpu else ""
        return f"{self.backend} {self.version}{newer}, {gpus}{on}"

    def rebuild_command(self, engine: Path, *, compute_capability: str | None = None) -> str:
        """The command that builds it again.

        Args:
            engine: where it goes. compute_capability: of the GPU to build for, where the library builds for
                GPUs that are not there; those of before by default.
        """
        batch, canvas = self.profile.texts()
        words = ["stn-deploy", "build", str(engine.with_name(self.model)), "-o", str(engine)]
        words += ["--backend", self.backend, "--batch", batch, "--canvas", canvas]
        if self.backend == "tensorrt":
            words += ["--hardware-compatible"] if self.hardware_compatible else []
        elif compute_capability or not self.hardware_compatible:
            targets = [compute_capability] if compute_capability else self.compute_capabilities
            words += [word for target in targets for word in ("--compute-capability", target)]
        words += ["--version-compatible"] if self.version_compatible else []
        words += ["--workspace", str(self.workspace)] if self.workspace else []
        if self.plugin:
            words += ["--plugin", "on"]
            if self.plugin["kind"] == "library" and self.plugin["file"]:
                words += ["--plugin-library", self.plugin["file"]]
        elif self.backend == "tensorrt":
            words += ["--plugin", "off"]
        return shlex.join(words)


def sidecar_of(engine: Path) -> Path:
    """Path of the record beside an engine: rectifier.engine.json beside rectifier.engine."""
    return engine.with_name(f"{engine.name}.json")


def read_record(engine: Path) -> EngineRecord:
    """The record beside an engine, whose bytes are not looked at.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    path = sidecar_of(engine)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not engine.exists():
            raise ArtifactError(f"{engine}: no such file; expected an engine of stn-deploy build") from error
        raise ArtifactError(
            f"{engine}: expected its record {path.name} beside it, found none; copy both files that "
            "stn-deploy build wrote, or build the engine again"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error})") from error
    return EngineRecord.from_json(text, name=str(path))


def read_engine(engine: Path) -> tuple[bytes, EngineRecord]:
    """Bytes and record of an engine.

    Raises:
        ArtifactError: no such file, no record, or bytes other than those that the record was written for.
    """
    record = read_record(engine)
    try:
        data = engine.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{engine}: cannot be read ({error.strerror or error})") from error
    found: dict[str, Any] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if found != {"size": record.size, "sha256": record.sha256}:
        raise ArtifactError(
            f"{engine}: damaged, or not the engine of its record; expected {record.size} bytes that hash to "
            f"{record.sha256[:12]}, got {found['size']} that hash to {found['sha256'][:12]}; copy both files "
            f"again, or build it again: {record.rebuild_command(engine)}"
        )
    return data, record
