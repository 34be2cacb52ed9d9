"""Pictures of what a transformer does, as uint8 BGR arrays and PNG files. Imports no torch.

drawing          boxes, control points and sampling grids, on any picture
layout           pictures brought to one size, in columns with headings
transformations  U with box, grid and control points, beside V
saving           PNG files
"""

from __future__ import annotations

from stn_deploy.pictures.drawing import Picture, draw_box, draw_control_points, draw_grid
from stn_deploy.pictures.layout import fit, tabulate
from stn_deploy.pictures.saving import save_picture
from stn_deploy.pictures.transformations import Transformation, draw_transformations, image_from_channels

__all__ = [
    "Picture",
    "Transformation",
    "draw_box",
    "draw_control_points",
    "draw_grid",
    "draw_transformations",
    "fit",
    "image_from_channels",
    "save_picture",
    "tabulate",
]
