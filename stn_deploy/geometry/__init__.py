"""Coordinates, grids and bases in NumPy: every transform is ``grid = basis @ theta``.

The convention is stated in `stn_deploy.geometry.convention`.
"""

from __future__ import annotations

from stn_deploy.geometry.affine import affine_basis, affine_identity
from stn_deploy.geometry.convention import (
    checked_points,
    checked_size,
    normalised_from_pixels,
    pixels_from_normalised,
    target_points,
)
from stn_deploy.geometry.inverse import invert_map
from stn_deploy.geometry.text_line import (
    TextLineMeasures,
    box_control_points,
    measure_text_lines,
    quad_control_points,
)
from stn_deploy.geometry.thin_plate import control_point_targets, thin_plate_basis

__all__ = [
    "TextLineMeasures",
    "affine_basis",
    "affine_identity",
    "box_control_points",
    "checked_points",
    "checked_size",
    "control_point_targets",
    "invert_map",
    "measure_text_lines",
    "normalised_from_pixels",
    "pixels_from_normalised",
    "quad_control_points",
    "target_points",
    "thin_plate_basis",
]
