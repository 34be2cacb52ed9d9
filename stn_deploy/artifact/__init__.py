"""The contract written into every exported .onnx, and how to read it without any ONNX library."""

from __future__ import annotations

from stn_deploy.artifact.engine import (
    BACKENDS,
    ENGINE_FORMAT,
    EngineRecord,
    read_engine,
    read_record,
    sidecar_of,
)
from stn_deploy.artifact.file import (
    SCORE,
    SIZES,
    THETA,
    THUMBNAILS,
    check_artifact,
    localisation_model,
    read_artifact,
    sampling_model,
    seal,
)
from stn_deploy.artifact.profile import Profile
from stn_deploy.artifact.spec import FORMAT_VERSION, METADATA_KEY, RectifierSpec

__all__ = [
    "BACKENDS",
    "ENGINE_FORMAT",
    "FORMAT_VERSION",
    "METADATA_KEY",
    "SCORE",
    "SIZES",
    "THETA",
    "THUMBNAILS",
    "EngineRecord",
    "Profile",
    "RectifierSpec",
    "check_artifact",
    "localisation_model",
    "read_artifact",
    "read_engine",
    "read_record",
    "sampling_model",
    "seal",
    "sidecar_of",
]
