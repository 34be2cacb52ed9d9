"""The text rectifier: a localisation network for text lines, a margin and a gate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from stn_deploy.artifact import RectifierSpec
from stn_deploy.errors import ArgumentError, ArtifactError
from stn_deploy.stn import ThumbnailLocalisation
from stn_deploy.training.gate import (
    HALF_HEIGHT,
    MIDLINE,
    edge_points,
    gate_score,
    identity_coefficients,
    with_margin,
)
from stn_deploy.training.recipe import Recipe


class Localised(NamedTuple):
    """What the localisation finds.

    theta: (n, K, 2), control points of the output's edges, that is, of the text with its margin; normalised.
    score: (n,), in [0, 1], whether rectification helps.
    points: (n, K, 2), control points of the text itself; normalised.
    """

    theta: Tensor
    score: Tensor
    points: Tensor


class AnyRectifier(Protocol):
    """What can be saved and exported: a `torch.nn.Module` that finds theta and score, and says what it is."""

    spec: RectifierSpec

    def __call__(self, thumbnails: Tensor, sizes: Tensor) -> Localised:
        """Localise text: thumbnails (n, 3, h, w), BGR in [0, 255], and sizes (n, 2), pixels."""

    def eval(self) -> Any:
        """Go to evaluation mode."""

    def state_dict(self) -> Mapping[str, Any]:
        """The weights by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take weights; RuntimeError where they do not fit."""


class TextRectifier(nn.Module):
    """Thumbnail -> theta and score, as trained and exported.

    Attributes:
        spec: the contract that the exported file will carry.
    """

    identity: Tensor

    def __init__(self, spec: RectifierSpec) -> None:
        """Build an untrained rectifier: it finds the whole image.

        Raises:
            ArtifactError: the spec's localisation settings are not those of `ThumbnailLocalisation`.
        """
        super().__init__()
        self.spec = spec
        settings: dict[str, Any] = dict(spec.localisation)
        try:
            self.network = ThumbnailLocalisation(spec.thumbnail_size, 2 * (MIDLINE + HALF_HEIGHT), **settings)
        except (TypeError, ArgumentError) as error:
            raise ArtifactError(
                f"rectifier spec: localisation settings {settings} do not fit: {error}"
            ) from error
        self.register_buffer("identity", identity_coefficients(), persistent=False)

    def predict_points(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Control points (n, K, 2) of the text without margin, normalised: what training compares."""
        return self.points_of(self.predict_lines(thumbnails, sizes))

    def points_of(self, lines: Tensor) -> Tensor:
        """Control points (n, K, 2) of text lines, see `stn_deploy.training.gate.edge_points`."""
        return edge_points(lines, self.spec.control_points)

    def forward(self, thumbnails: Tensor, sizes: Tensor) -> Localised:
        """Localise text.

        Args:
            thumbnails: (n, 3, h, w), BGR in [0, 255].
            sizes: (n, 2), height and width of the crops, pixels.
        """
        lines = self.predict_lines(thumbnails, sizes)
        points = self.points_of(lines)
        theta = with_margin(lines, points, sizes, self.spec.margin)
        return Localised(theta, score_of(points, sizes, self.spec), points)

    def predict_lines(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Text lines as polynomials: coefficients of midline and half height, normalised."""
        raw: Tensor = self.network(thumbnails, sizes)
        return self.identity + raw.float().reshape(-1, MIDLINE + HALF_HEIGHT, 2)


def score_of(points: Tensor, sizes: Tensor, spec: RectifierSpec) -> Tensor:
    """(n,): the score of control points (n, K, 2) with the limits of a spec, see `gate_score`."""
    gate = spec.gate
    return gate_score(
        points,
        sizes,
        tilt_limit=math.radians(gate["tilt_degrees"]),
        sag_limit=gate["sag"],
        taper_limit=gate["taper"],
        short=gate.get("short", 0.0),
        long=gate.get("long", math.inf),
    )


def untrained_rectifier(recipe: Recipe, *, real_words: int = 0) -> TextRectifier:
    """The rectifier that a recipe trains, at its start.

    Args:
        real_words: number of real words that it will learn from, for the spec.
    """
    return TextRectifier(
        RectifierSpec(
            control_points=recipe.control_points,
            thumbnail_size=recipe.thumbnail_size,
            localisation=recipe.network,
            recipe={**recipe.as_dict(), "real_words": real_words},
        )
    )
