"""Recipes: found by name, refused with the field that is wrong, and kept by JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from stn_deploy.errors import ArgumentError
from stn_deploy.training import RECIPES, Recipe, find_recipe
from stn_deploy.training.recipe import MODELS


def test_recipes_are_found_by_their_name() -> None:
    assert {"default", "tiny", "large"} == RECIPES.keys()
    for name in RECIPES:
        assert find_recipe(name).name == name
    with pytest.raises(ArgumentError, match="recipe: expected one of .*default.*, got 'huge'"):
        find_recipe("huge")


def test_model_and_seed_replace_those_of_the_recipe() -> None:
    for name, settings in MODELS.items():
        changed = find_recipe("tiny", model=name, seed=7)
        assert changed.seed == 7
        assert changed.network == {
            "channels": list(settings["channels"]),
            "strides": list(settings["strides"]),
            "dense": settings["dense"],
        }
    assert find_recipe("tiny", seed=0).seed == 0
    with pytest.raises(ArgumentError, match="model: expected one of nano, small, got 'huge'"):
        find_recipe("tiny", model="huge")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("rendered", 0, "a whole number, at least 1"),
        ("epochs", 0, "a whole number, at least 1"),
        ("batch", 2.0, "a whole number, at least 1"),
        ("batch", True, "a whole number, at least 1"),
        ("checkpoint_steps", 0, "a whole number, at least 1"),
        ("real", -1, "a whole number, at least 0"),
        ("batch_real", -1, "a whole number, at least 0"),
        ("held_out", -1, "a whole number, at least 0"),
        ("warm_up", -1, "a whole number, at least 0"),
        ("seed", -1, "a whole number, at least 0"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", math.nan, "above 0"),
        ("clip", 0, "above 0"),
        ("beta", -0.1, "above 0"),
        ("weight_decay", -1e-3, "at least 0"),
        ("along_weight", math.inf, "at least 0"),
        ("average", 1.0, "at least 0, below 1"),
        ("control_points", 7, "an even number, 4 to 512"),
        ("thumbnail_size", (32,), "(height, width), whole pixels"),
        ("thumbnail_size", "32x64", "(height, width), whole pixels"),
        ("channels", (8, 0), "a tuple of whole numbers, at least 1"),
    ],
)
def test_a_field_out_of_its_range_is_refused(field: str, value: Any, expected: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        replace(RECIPES["tiny"], **{field: value})
    assert str(caught.value) == f"recipe tiny: {field}: expected {expected}, got {value!r}"


def test_fewer_words_than_a_batch_are_refused_with_the_remedy() -> None:
    with pytest.raises(
        ArgumentError, match="at least a batch of 64, got 63; render more words, or lower batch"
    ):
        replace(RECIPES["tiny"], rendered=63)


def test_a_recipe_comes_back_from_json() -> None:
    for recipe in RECIPES.values():
        assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
    for wrong in ({"name": "x"}, {**RECIPES["tiny"].as_dict(), "colour": 1}):
        with pytest.raises(ArgumentError, match="another version of stn-deploy"):
            Recipe.from_dict(wrong)
