"""Exported rectifiers at work: images in, straightened images out. Imports no torch."""

from __future__ import annotations

from stn_deploy.runtime.canvas import pack_canvas
from stn_deploy.runtime.rectifier import DEFAULT_MODEL, Rectifier
from stn_deploy.runtime.result import Rectified

__all__ = ["DEFAULT_MODEL", "Rectified", "Rectifier", "pack_canvas"]
