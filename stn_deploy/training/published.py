"""Rectifiers of published recognisers, as `stn_deploy.export.importing` brings them here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stn_deploy.artifact import RectifierSpec
from stn_deploy.errors import ArgumentError, ArtifactError
from stn_deploy.training.rectifier import Localised, score_of

PUBLISHED = "published"
"""What the localisation settings of a spec call this network."""

LUMA = (7471, 38470, 19595)
"""Weights of blue, green and red in grey, of 65536: ITU-R 601, as Pillow has them."""


class PublishedLocalisation(nn.Module):
    """The localisation network that text recognisers have in common.

    Convolutions 3 x 3 with ReLU and 2 x 2 max pooling between them; then the mean over all positions (RARE,
    TRBA, PaddleOCR's TPS) or all of them in a row (ASTER and those after it); a dense layer; theta.

    It is the network in use: batch norm, factors, units and the order of colours are part of its weights.

    Source: Shi et al. 2016, Robust Scene Text Recognition with Automatic Rectification, section 3.1; Shi et
    al. 2018, ASTER, section 3.1; Baek et al. 2019, What Is Wrong With Scene Text Recognition Model
    Comparisons?, as published.
    """

    def __init__(
        self,
        thumbnail_size: tuple[int, int],
        outputs: int,
        *,
        colours: int,
        channels: Sequence[int],
        dense: int,
        pooled: bool,
    ) -> None:
        """Build the network.

        Args:
            thumbnail_size: height and width, pixels.
            outputs: number of transformation parameters.
            colours: 3 for BGR, 1 for grey.
            channels: of the convolutions.
            dense: width of the dense layer.
            pooled: whether the mean over all positions is taken.
        Raises:
            ArgumentError: settings that make no network.
        """
        super().__init__()
        if colours not in (1, 3) or not channels or min(*channels, dense, 1) < 1:
            raise ArgumentError(
                "published network: expected 1 or 3 colours, channels and a dense layer, got "
                f"{colours!r}, {channels!r} and {dense!r}"
            )
        shrunk = 2 ** (len(channels) - 1)
        height, width = (side // shrunk for side in thumbnail_size)
        if min(height, width) < 1:
            raise ArgumentError(
                f"thumbnail_size: expected at least {shrunk} pixels on each side for {len(channels)} "
                f"convolutions, got {thumbnail_size}"
            )
        self.colours = colours
        self.pooled = pooled
        layers: list[nn.Module] = []
        before = colours
        for index, after in enumerate(channels):
            pool = [nn.MaxPool2d(2)] if index else []
            layers += [*pool, nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
        self.features = nn.Sequential(*layers)
        self.reduce = nn.Linear(before if pooled else before * height * width, dense)
        self.last = nn.Linear(dense, outputs)

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Transformation parameters (n, outputs) of thumbnails (n, colours, h, w) in [0, 255]."""
        features = self.features((thumbnails - 127.5) / 127.5)
        flat = features.mean(dim=(2, 3)) if self.pooled else features.flatten(1)
        parameters: Tensor = self.last(torch.relu(self.reduce(flat)))
        return parameters


class PublishedRectifier(nn.Module):
    """Thumbnail -> theta and score with the network of a published recogniser.

    Attributes:
        spec: the contract that the exported file will carry.
    """

    def __init__(self, spec: RectifierSpec) -> None:
        """Build one without weights.

        Raises:
            ArtifactError: the spec's localisation settings are not those of `PublishedLocalisation`.
        """
        super().__init__()
        self.spec = spec
        settings: dict[str, Any] = {**spec.localisation}
        settings.pop("network", None)
        try:
            self.network = PublishedLocalisation(spec.thumbnail_size, 2 * spec.control_points, **settings)
        except (TypeError, ArgumentError) as error:
            raise ArtifactError(
                f"rectifier spec: localisation settings {dict(spec.localisation)} do not fit: {error}"
            ) from error
        # Of images of this size, each pixel of the thumbnail is one of the image.
        whole = spec.input_size if spec.input_size == spec.thumbnail_size else None
        self._whole_size = whole or (0, 0)

    def forward(self, thumbnails: Tensor, sizes: Tensor) -> Localised:
        """Localise text; theta and points are the same, for the network knows of no margin.

        Args:
            thumbnails: (n, 3, h, w), BGR in [0, 255].
            sizes: (n, 2), height and width of the crops, pixels.
        """
        if self.network.colours == 1:
            thumbnails = _grey(thumbnails, sizes, self._whole_size)
        theta = self.network(thumbnails).float().reshape(-1, self.spec.control_points, 2)
        return Localised(theta, score_of(theta, sizes, self.spec), theta)


def _grey(thumbnails: Tensor, sizes: Tensor, whole_size: tuple[int, int]) -> Tensor:
    """Grey thumbnails (n, 1, h, w) of coloured ones (n, 3, h, w), in [0, 255].

    The published readers make grey first and round it to whole numbers, which moves theta by up to 1e-3. Of
    an image of ``whole_size``, the input's, it is rounded here, too. In others, whose pixels lie between
    those of the image, there is nothing whole to round.
    """
    weights = torch.tensor(LUMA, dtype=torch.float32, device=thumbnails.device).reshape(1, 3, 1, 1)
    grey = (thumbnails * weights).sum(dim=1, keepdim=True) / 65536
    # All numbers are whole and below 2^24, which float32 holds exactly.
    rounded = ((thumbnails + 0.5).floor() * weights).sum(dim=1, keepdim=True)
    whole = ((rounded + 32768) / 65536).floor()
    away = (sizes - torch.tensor(whole_size, dtype=torch.float32, device=sizes.device)).abs().amax(dim=1)
    return torch.where((away < 0.5).reshape(-1, 1, 1, 1), whole, grey)
