"""The networks that recipes name stay within what a user may spend on them."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stn_deploy.artifact import RectifierSpec
from stn_deploy.training import Recipe, TextRectifier
from stn_deploy.training.recipe import MODELS


@pytest.mark.parametrize(
    ("name", "parameters", "operations"), [("nano", 600_000, 13_000_000), ("small", 10_000_000, 50_000_000)]
)
def test_a_model_keeps_to_its_budget(name: str, parameters: int, operations: int) -> None:
    recipe = Recipe(name=name, rendered=256, real=0, epochs=1, **MODELS[name])
    rectifier = TextRectifier(
        RectifierSpec(thumbnail_size=recipe.thumbnail_size, localisation=recipe.network)
    ).eval()
    thumbnails, sizes = torch.zeros(1, 3, *recipe.thumbnail_size), torch.ones(1, 2)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        rectifier(thumbnails, sizes)
    assert 0 < counter.get_total_flops() <= operations
    assert sum(weights.numel() for weights in rectifier.parameters()) <= parameters
