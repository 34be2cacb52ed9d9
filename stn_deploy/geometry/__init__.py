"""Coordinates, grids and transforms in NumPy: every transform is ``grid = basis @ coefficients(theta)``.

The convention is stated in `stn_deploy.geometry.convention`.
"""

from __future__ import annotations

from stn_deploy.geometry.control_points import (
    control_point_lattice,
    control_point_targets,
    inset_control_points,
    sloped_control_points,
)
from stn_deploy.geometry.convention import (
    checked_extent,
    checked_points,
    checked_size,
    normalised_from_pixels,
    pixels_from_normalised,
    target_points,
)
from stn_deploy.geometry.inverse import invert_map
from stn_deploy.geometry.matrix import (
    AFFINE,
    AFFINE_3D,
    ATTENTION,
    PROJECTIVE,
    SIMILARITY,
    MatrixTransform,
)
from stn_deploy.geometry.text_line import (
    TextLineMeasures,
    box_control_points,
    measure_text_lines,
    quad_control_points,
    text_line_extents,
)
from stn_deploy.geometry.text_spline import TextSpline
from stn_deploy.geometry.thin_plate import ThinPlateSpline, thin_plate_basis
from stn_deploy.geometry.transform import Transform, source_corners, source_grid, source_points

__all__ = [
    "AFFINE",
    "AFFINE_3D",
    "ATTENTION",
    "PROJECTIVE",
    "SIMILARITY",
    "MatrixTransform",
    "TextLineMeasures",
    "TextSpline",
    "ThinPlateSpline",
    "Transform",
    "box_control_points",
    "checked_extent",
    "checked_points",
    "checked_size",
    "control_point_lattice",
    "control_point_targets",
    "inset_control_points",
    "invert_map",
    "measure_text_lines",
    "normalised_from_pixels",
    "pixels_from_normalised",
    "quad_control_points",
    "sloped_control_points",
    "source_corners",
    "source_grid",
    "source_points",
    "target_points",
    "text_line_extents",
    "thin_plate_basis",
]
