"""Engines of TensorRT and TensorRT-RTX out of exported files, and ONNX Runtime's options for the same."""

from __future__ import annotations

from stn_deploy.export.engine.builder import build_engine
from stn_deploy.export.engine.ort_options import ort_options
from stn_deploy.export.engine.progress import Progress
from stn_deploy.export.engine.settings import BuildSettings

__all__ = ["BuildSettings", "Progress", "build_engine", "ort_options"]
