"""The Spatial Transformer of Jaderberg et al. 2015: localisation network, grid generator, sampler."""

from __future__ import annotations

from stn_deploy.stn.constraints import BoundedDisplacement, BoundedPerspective, BoundedScale
from stn_deploy.stn.grid_generator import GridGenerator
from stn_deploy.stn.localisation import (
    AsterLocalisation,
    ConvolutionalLocalisation,
    DepthwiseLocalisation,
    FullyConnectedLocalisation,
    LeNetLocalisation,
    MultiScaleLocalisation,
    ThumbnailLocalisation,
    theta_layer,
)
from stn_deploy.stn.parallel import ParallelSpatialTransformer
from stn_deploy.stn.parts import Inspection
from stn_deploy.stn.pictures import picture_transformer
from stn_deploy.stn.projection import DepthProjection
from stn_deploy.stn.reference import reference_gradients, reference_sample
from stn_deploy.stn.sampler import Sampler, sample
from stn_deploy.stn.spatial_transformer import SpatialTransformer
from stn_deploy.stn.theta_grid_sample import theta_grid_sample

__all__ = [
    "AsterLocalisation",
    "BoundedDisplacement",
    "BoundedPerspective",
    "BoundedScale",
    "ConvolutionalLocalisation",
    "DepthProjection",
    "DepthwiseLocalisation",
    "FullyConnectedLocalisation",
    "GridGenerator",
    "Inspection",
    "LeNetLocalisation",
    "MultiScaleLocalisation",
    "ParallelSpatialTransformer",
    "Sampler",
    "SpatialTransformer",
    "ThumbnailLocalisation",
    "picture_transformer",
    "reference_gradients",
    "reference_sample",
    "sample",
    "theta_grid_sample",
    "theta_layer",
]
