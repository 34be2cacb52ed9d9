"""Opening an exported file: is it ours, is it whole, what does it promise."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from stn_deploy.artifact import wire
from stn_deploy.artifact.spec import METADATA_KEY, RectifierSpec
from stn_deploy.errors import ArtifactError

IMAGES, EXTENTS, RECTIFIED = "images", "extents", "rectified"
THUMBNAILS, SIZES, THETA, SCORE = "thumbnails", "sizes", "theta", "score"
"""Tensors of the graph whose names are part of the contract."""


def read_artifact(path: Path) -> tuple[bytes, RectifierSpec]:
    """Bytes and spec of an exported rectifier.

    Raises:
        ArtifactError: no such file, not an .onnx file, not written by stn-deploy, of a newer format, damaged.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from error
    return data, check_artifact(data, name=str(path))


def check_artifact(data: bytes, *, name: str = "model") -> RectifierSpec:
    """Spec of an exported rectifier that is in memory; see `read_artifact`."""
    try:
        entries = wire.metadata(data)
        outside = wire.external_data(data)
    except ArtifactError as error:
        raise ArtifactError(f"{name}: not an .onnx file, or damaged: {error}") from error
    if METADATA_KEY not in entries:
        raise ArtifactError(
            f"{name}: expected a rectifier written by stn-deploy export, got a file without "
            f"{METADATA_KEY} in its metadata"
        )
    spec = RectifierSpec.from_json(entries[METADATA_KEY], name=name)
    if outside:
        raise ArtifactError(
            f"{name}: expected all weights inside the file, got {len(outside)} in files beside it "
            f"({', '.join(outside[:3])}, ...), which nothing vouches for; export it again"
        )
    found = seal(data, entries[METADATA_KEY])
    if found != spec.digest:
        raise ArtifactError(
            f"{name}: damaged; its contents hash to {found[:12]}, but it was written with "
            f"{spec.digest[:12] or 'no digest'}; copy or export it again"
        )
    return spec


def seal(model: bytes, spec: str) -> str:
    """Digest of a file and of what it says about itself.

    Args:
        model: bytes of the file; its metadata does not count.
        spec: JSON of the spec; its digest does not count.
    Returns:
        SHA-256, hexadecimal.
    """
    values = {**json.loads(spec), "digest": ""}
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(f"{wire.digest(model)}\n{text}".encode()).hexdigest()


def sampling_model(data: bytes) -> bytes:
    """The sampling part of an exported rectifier as a model: images, extents, theta -> rectified."""
    return wire.cut(data, (IMAGES, EXTENTS, THETA), (RECTIFIED,), functions=True)


def localisation_model(data: bytes) -> bytes:
    """The localisation part of an exported rectifier as a model: thumbnails, sizes -> theta, score."""
    return wire.cut(data, (THUMBNAILS, SIZES), (THETA, SCORE))
