"""What an exported rectifier says about itself: the JSON in the metadata of every .onnx that we write."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stn_deploy.errors import ArtifactError

FORMAT_VERSION = 1
METADATA_KEY = "stn_deploy.spec"


@dataclass(frozen=True, kw_only=True)
class RectifierSpec:
    """The contract between an exported file and whoever runs it.

    transform: kind of the transform; "thin_plate_spline".
    control_points: K; K/2 along the top edge of the output, K/2 along the bottom edge.
    output_size: height and width of the full graph's output, pixels.
    thumbnail_size: height and width of what the localisation network sees, pixels.
    kernel_aspect: of the spline's kernel, see `stn_deploy.geometry.thin_plate_basis`.
    margin: space around the text in the output, text heights.
    threshold: of the score in [0, 1]; below it a crop is left as it is.
    mean, std: the full graph returns (pixel - mean) / std.
    channel_order: of input and output.
    localisation: settings of the localisation network, enough to build it again.
    recipe: how it was trained.
    digest: SHA-256 over the file without its metadata, hexadecimal; written by the export.
    format_version: of this contract.
    """

    transform: str = "thin_plate_spline"
    control_points: int = 20
    output_size: tuple[int, int] = (32, 100)
    thumbnail_size: tuple[int, int] = (32, 64)
    kernel_aspect: float = 0.15
    margin: float = 0.15
    threshold: float = 0.5
    mean: float = 127.5
    std: float = 127.5
    channel_order: str = "BGR"
    localisation: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        problems = []
        if self.transform != "thin_plate_spline":
            problems.append(f"transform: expected thin_plate_spline, got {self.transform!r}")
        if self.control_points < 4 or self.control_points % 2:
            problems.append(f"control_points: expected an even number from 4, got {self.control_points}")
        for name in ("output_size", "thumbnail_size"):
            size = getattr(self, name)
            if len(size) != 2 or not all(isinstance(n, int) and 1 <= n <= 8192 for n in size):
                problems.append(f"{name}: expected (height, width) within 1 to 8192 pixels, got {size!r}")
        if not 0 < self.kernel_aspect <= 10:
            problems.append(f"kernel_aspect: expected above 0 to 10, got {self.kernel_aspect!r}")
        if not 0 <= self.margin <= 2:
            problems.append(f"margin: expected 0 to 2 text heights, got {self.margin!r}")
        if not 0 <= self.threshold <= 1:
            problems.append(f"threshold: expected 0 to 1, got {self.threshold!r}")
        if not self.std > 0:
            problems.append(f"std: expected more than 0, got {self.std!r}")
        if self.channel_order not in ("BGR", "RGB"):
            problems.append(f"channel_order: expected BGR or RGB, got {self.channel_order!r}")
        if problems:
            raise ArtifactError("rectifier spec: " + "; ".join(problems))

    def to_json(self) -> str:
        """The spec as JSON with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, default=list)

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
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"{name}: the rectifier spec in its metadata is damaged ({error})") from error
        if version > FORMAT_VERSION:
            raise ArtifactError(
                f"{name}: format version {version} is newer than {FORMAT_VERSION}, the newest that this "
                "stn-deploy knows; pip install --upgrade stn-deploy"
            )
        known = {item.name for item in dataclasses.fields(cls)}
        try:
            for key in ("output_size", "thumbnail_size"):
                values[key] = tuple(values[key])
            return cls(**{key: value for key, value in values.items() if key in known})
        except (TypeError, KeyError) as error:
            raise ArtifactError(f"{name}: the rectifier spec in its metadata is damaged ({error})") from error
        except ArtifactError as error:
            raise ArtifactError(f"{name}: {error}") from error
