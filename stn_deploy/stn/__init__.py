"""The Spatial Transformer of Jaderberg et al. 2015: localisation network, grid generator, sampler."""

from __future__ import annotations

from stn_deploy.stn.grid_generator import GridGenerator
from stn_deploy.stn.localisation import ConvLocalisation
from stn_deploy.stn.sampler import Sampler, sample, theta_grid_sample
from stn_deploy.stn.spatial_transformer import SpatialTransformer

__all__ = [
    "ConvLocalisation",
    "GridGenerator",
    "Sampler",
    "SpatialTransformer",
    "sample",
    "theta_grid_sample",
]
