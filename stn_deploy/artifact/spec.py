"""What an exported rectifier says about itself: the JSON in the metadata of every .onnx that we write."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stn_deploy.errors import ArtifactError

FORMAT_VERSION = 2
"""The newest. A file is written with the lowest that has all it says: older readers take what they can."""
METADATA_KEY = "stn_deploy.spec"

PRECISIONS = ("float32", "float16", "int8")
"""Of the localisation network."""

GATE = {"tilt_degrees": 4.0, "sag": 0.1, "taper": 0.3, "short": 1.5, "long": 5.0}
"""Where the score is one half; text that is short needs more tilt, text that is long more sag. Chosen on
held-out crops of the training data, by words gained against words lost with PP-OCRv6, PP-OCRv4 and Tesseract
(``benchmarks/gate.py``)."""


def _number(value: object) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # JSON has whole numbers that no float can hold


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _size(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_whole(side, 1, 8192) for side in value)


def _gate(value: object) -> bool:
    lengths = {"short", "long"}  # files of before have neither
    if not isinstance(value, Mapping) or {*value} | lengths != {*GATE}:
        return False
    return all(_number(limit) and limit > 0 for limit in value.values()) and value["tilt_degrees"] < 180


def _input_size(value: object) -> bool:
    return value is None or (_size(value) and min(value) >= 2)  # type: ignore[call-overload]


_SIZE = ("(height, width) within 1 to 8192 whole pixels", _size)
_FLAG = ("True or False", lambda value: isinstance(value, bool))
_SETTINGS = ("a mapping", lambda value: isinstance(value, Mapping))
_ALLOWED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "transform": ("thin_plate_spline", lambda value: value == "thin_plate_spline"),
    "control_points": ("an even number, 4 to 512", lambda value: _whole(value, 4, 512) and value % 2 == 0),
    "output_size": _SIZE,
    "thumbnail_size": _SIZE,
    "kernel_aspect": ("above 0 to 10", lambda value: _number(value) and 0 < value <= 10),
    "margin": ("0 to 2 text heights", lambda value: _number(value) and 0 <= value <= 2),
    "threshold": ("0 to 1", lambda value: _number(value) and 0 <= value <= 1),
    "gate": (f"limits above 0 for {', '.join(GATE)}", _gate),
    "mean": ("a number", _number),
    "std": ("a number above 0", lambda value: _number(value) and value > 0),
    "channel_order": ("BGR or RGB", lambda value: value in ("BGR", "RGB")),
    "localisation": _SETTINGS,
    "recipe": _SETTINGS,
    "digest": ("text", lambda value: isinstance(value, str)),
    "precision": (", ".join(PRECISIONS), lambda value: value in PRECISIONS),
    "padding": ("border or zeros", lambda value: value in ("border", "zeros")),
    "control_inset": ("0 to below 1", lambda value: _number(value) and 0 <= value < 1),
    "target_align_corners": _FLAG,
    "input_size": ("None, or (height, width) within 2 to 8192 whole pixels", _input_size),
    "thumbnail_align_corners": _FLAG,
}
"""For each field what is expected, and whether a value is that."""

_SINCE_2 = ("padding", "control_inset", "target_align_corners", "input_size", "thumbnail_align_corners")
"""Fields that a reader of version 1 would ignore, and sample wrongly."""
_LATER = (*_SINCE_2, "precision")
"""Fields that came after the first files: they are written only where they differ from their default."""


@dataclass(frozen=True, kw_only=True)
class RectifierSpec:
    """The contract between an exported file and whoever runs it.

    transform: kind of the transform; "thin_plate_spline".
    control_points: K; K/2 along the top edge of the output, K/2 along the bottom edge.
    output_size: height and width of the full graph's output, pixels.
    thumbnail_size: height and width of what the localisation network sees, pixels.
    kernel_aspect, control_inset, target_align_corners: of the spline, see `stn_deploy.geometry.TextSpline`.
    margin: space around the text in the output, text heights.
    threshold: of the score in [0, 1]; below it a crop is left as it is.
    gate: limits of the measures that the score is made of: tilt of the text in degrees, sag in text heights,
        taper as the relative difference in height between its ends; and the lengths in text heights below
        which the limit of the tilt grows, and above which that of the sag (either may be missing: never).
    mean, std: the full graph returns (pixel - mean) / std.
    channel_order: of input and output.
    localisation: settings of the localisation network, enough to build it again.
    recipe: how it was trained.
    digest: SHA-256 over the file without its metadata and over this spec without its digest, hexadecimal;
        written by the export.
    precision: of the localisation network, "float32", "float16" or "int8"; in a file of "float16" the output
        ``rectified`` is float16, too. Geometry and sampling are float32 always.
    padding: what lies outside an image: its "border", or "zeros", which is ``mean``: 0 once scaled.
    input_size: height and width of the only image that a published recogniser takes, pixels; each pixel of
        the thumbnail is one sample of it. None: the thumbnail is the mean of 2 x 2 samples.
    thumbnail_align_corners: whether thumbnail and input share the centres of their outermost pixels, not
        their edges.
    format_version: of this contract; the lowest that has all that this spec says.
    """

    transform: str = "thin_plate_spline"
    control_points: int = 20
    output_size: tuple[int, int] = (32, 100)
    thumbnail_size: tuple[int, int] = (32, 64)
    kernel_aspect: float = 0.15
    margin: float = 0.1
    threshold: float = 0.5
    gate: Mapping[str, float] = field(default_factory=lambda: dict(GATE))
    mean: float = 127.5
    std: float = 127.5
    channel_order: str = "BGR"
    localisation: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    precision: str = "float32"
    padding: str = "border"
    control_inset: float = 0.0
    target_align_corners: bool = False
    input_size: tuple[int, int] | None = None
    thumbnail_align_corners: bool = False
    format_version: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        needed = 2 if any(name in _SINCE_2 for name in self._changed()) else 1
        object.__setattr__(self, "format_version", needed)
        problems = [
            f"{name}: expected {expected}, got {getattr(self, name)!r}"
            for name, (expected, allowed) in _ALLOWED.items()
            if not allowed(getattr(self, name))
        ]
        if problems:
            raise ArtifactError("rectifier spec: " + "; ".join(problems))

    @property
    def fill(self) -> float | None:
        """Value of what lies outside an image, in [0, 255]; None: that of its border."""
        return self.mean if self.padding == "zeros" else None

    def _changed(self) -> list[str]:
        """Fields of `_LATER` that differ from their default."""
        defaults = {item.name: item.default for item in dataclasses.fields(self)}
        return [name for name in _LATER if getattr(self, name) != defaults[name]]

    def to_json(self) -> str:
        """The spec as JSON with sorted keys."""
        changed = self._changed()
        values = dataclasses.asdict(self)
        written = {name: value for name, value in values.items() if name not in _LATER or name in changed}
        return json.dumps(written, sort_keys=True, default=list)

    @classmethod
    def from_json(cls, text: str, *, name: str = "model") -> RectifierSpec:
        """The spec that `to_json` wrote.

        Args:
            text: JSON. name: of the file it came from, for messages.
        Raises:
            ArtifactError: not JSON, a newer format, or values out of range.
        """
        try:
            values = json.loads(text)
            version = int(values["format_version"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise ArtifactError(f"{name}: the rectifier spec in its metadata is damaged ({error})") from error
        if version > FORMAT_VERSION:
            raise ArtifactError(
                f"{name}: format version {version} is newer than {FORMAT_VERSION}, the newest that this "
                "stn-deploy knows; pip install --upgrade stn-deploy"
            )
        if not _whole(values["format_version"], 1, FORMAT_VERSION):
            raise ArtifactError(
                f"{name}: rectifier spec: format_version: expected 1 to {FORMAT_VERSION}, "
                f"got {values['format_version']!r}"
            )
        known = {item.name for item in dataclasses.fields(cls) if item.init}
        try:
            for key in ("output_size", "thumbnail_size"):
                values[key] = tuple(values[key])
            if values.get("input_size") is not None:
                values["input_size"] = tuple(values["input_size"])
            return cls(**{key: value for key, value in values.items() if key in known})
        except (TypeError, KeyError) as error:
            raise ArtifactError(f"{name}: the rectifier spec in its metadata is damaged ({error})") from error
        except ArtifactError as error:
            raise ArtifactError(f"{name}: {error}") from error
