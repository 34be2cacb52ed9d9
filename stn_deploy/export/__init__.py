"""Trained rectifiers become files that run everywhere, and the proof that they give the same numbers."""

from __future__ import annotations

from stn_deploy.export.comparison import Comparison
from stn_deploy.export.network import export_network
from stn_deploy.export.onnx_file import export_rectifier
from stn_deploy.export.reload import rectifier_from_artifact
from stn_deploy.export.verify import verify

__all__ = ["Comparison", "export_network", "export_rectifier", "rectifier_from_artifact", "verify"]
