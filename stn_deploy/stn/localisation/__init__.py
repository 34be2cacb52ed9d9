"""Localisation networks: U -> theta. Each starts at a theta that is given, whatever its input."""

from __future__ import annotations

from stn_deploy.stn.localisation.classic import (
    ConvolutionalLocalisation,
    FullyConnectedLocalisation,
    LeNetLocalisation,
    MultiScaleLocalisation,
)
from stn_deploy.stn.localisation.start import theta_layer
from stn_deploy.stn.localisation.text import AsterLocalisation, DepthwiseLocalisation
from stn_deploy.stn.localisation.thumbnail import ThumbnailLocalisation

__all__ = [
    "AsterLocalisation",
    "ConvolutionalLocalisation",
    "DepthwiseLocalisation",
    "FullyConnectedLocalisation",
    "LeNetLocalisation",
    "MultiScaleLocalisation",
    "ThumbnailLocalisation",
    "theta_layer",
]
