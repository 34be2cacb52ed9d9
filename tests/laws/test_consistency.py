"""A rectifier that obeys the law of changed crops pays nothing for it, and any other does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stn_deploy.artifact import RectifierSpec
from stn_deploy.geometry import target_points
from stn_deploy.training import TextRectifier
from stn_deploy.training.batch import Batch
from stn_deploy.training.gate import edge_points, identity_coefficients
from stn_deploy.training.objective import Objective
from tests.small_training import SMALL
from tests.tolerances import POINT

SIZE = (16, 40)
RECIPE = replace(SMALL, bending_weight=0.1, foldover_weight=0.1, consistency_weight=0.2)
PLACES = torch.from_numpy(target_points(SIZE)).reshape(-1, 2)
"""Of the pixels of a thumbnail, normalised."""
SCALE = 100.0
"""Of places that are painted as light."""


class Obedient:
    """Knows the text line of each crop, and reads off a picture which part of which crop it shows.

    Two channels of a thumbnail hold x and y of the crop, normalised, and the third the number of the crop. So
    the affine map of a view can be had from its pixels, except beyond the border, which repeats.
    """

    def __init__(self, lines: Tensor) -> None:
        self.lines = lines.double()

    def thumbnails(self) -> Tensor:
        places = (SCALE * PLACES).float().reshape(*SIZE, 2).permute(2, 0, 1)
        numbers = [torch.full((1, *SIZE), float(index)) for index in range(len(self.lines))]
        return torch.stack([torch.cat([places, number]) for number in numbers])

    def __call__(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            found = [self._found(picture.double().permute(1, 2, 0)) for picture in thumbnails]
            return torch.stack(found).float()

    def _found(self, picture: Tensor) -> Tensor:
        shown = picture[..., :2].reshape(-1, 2) / SCALE
        inside = (shown.abs() < PLACES.amax(dim=0) - 1e-3).all(dim=1)
        known = torch.cat([PLACES, torch.ones(len(PLACES), 1)], dim=1)[inside]
        affine = torch.linalg.lstsq(known, shown[inside]).solution.T
        line = self.lines[round(float(picture[..., 2].mean()))].clone()
        line[0] -= affine[:, 2]
        return torch.linalg.solve(affine[:, :2], line.T).T


def straight_lines() -> Tensor:
    """Coefficients of text lines, one horizontal, one tilted, one sheared, one short."""
    lines = identity_coefficients() * torch.tensor([0.5, 0.4]).repeat(4, 1, 1)
    lines[1, 1, 1], lines[1, 6, 0] = 0.2, -0.05
    lines[2, 6, 0] = 0.15
    lines[3, 1, 0] = 0.06
    lines[:, 0] = torch.tensor([[0.0, 0.0], [0.1, -0.1], [-0.05, 0.1], [0.1, 0.1]])
    return lines


@pytest.mark.parametrize("sixteen_bits", [False, True])
def test_consistency_costs_nothing_where_predictions_follow_the_crop(
    sixteen_bits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"channels": [4] * 4, "dense": 4}
    rectifier = TextRectifier(RectifierSpec(control_points=8, thumbnail_size=SIZE, localisation=settings))
    lines = straight_lines()
    obedient = Obedient(lines)
    batch = Batch(
        thumbnails=obedient.thumbnails(),
        sizes=torch.tensor([[30.0, 110.0], [64.0, 50.0], [25.0, 25.0], [48.0, 160.0]]),
        points=edge_points(lines, 8),
    )
    objective = Objective(rectifier, RECIPE)

    def terms() -> dict[str, float]:
        torch.manual_seed(3)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=sixteen_bits):
            return {name: float(term) for name, term in objective.eval()(batch).items()}

    assert terms()["consistency"] > 0.01  # it sees the whole image in every crop
    monkeypatch.setattr(rectifier, "predict_lines", obedient)
    for name in ("consistency", "bending", "foldover"):
        assert terms()[name] < POINT, name
    stubborn = lines.repeat(2, 1, 1)
    monkeypatch.setattr(rectifier, "predict_lines", lambda seen, _: stubborn[: len(seen)])
    assert terms()["consistency"] > 0.01
