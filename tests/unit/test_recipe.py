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
            "dropout": RECIPES["tiny"].dropout,
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
        ("bending_weight", -0.1, "at least 0"),
        ("foldover_weight", math.nan, "at least 0"),
        ("consistency_weight", -1, "at least 0"),
        ("recognition_weight", "much", "at least 0"),
        ("texts", -1, "a whole number, at least 0"),
        ("batch_texts", 1.5, "a whole number, at least 0"),
        ("average", 1.0, "at least 0, below 1"),
        ("average_epochs", 0, "a whole number, at least 1"),
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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"recognition_weight": 0.1},
            "recognition_weight: 0.1 needs texts and batch_texts above 0, got 0 and 0",
        ),
        ({"recognition_weight": 0.1, "texts": 512}, "needs texts and batch_texts above 0, got 512 and 0"),
        ({"texts": 512}, "texts, batch_texts: expected both above 0, or both 0, got 512 and 0"),
        ({"batch_texts": 8}, "texts, batch_texts: expected both above 0, or both 0, got 0 and 8"),
        (
            {"bending_weight": 0.1, "control_points": 4},
            "bending_weight: 0.1 needs control_points of at least 6",
        ),
    ],
    ids=str,
)
def test_weights_that_nothing_could_follow_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=f"recipe tiny: .*{message}"):
        replace(RECIPES["tiny"], **fields)


def test_a_recipe_may_learn_from_all_that_there_is() -> None:
    known = replace(RECIPES["tiny"], bending_weight=0.1, foldover_weight=0.1, consistency_weight=0.1)
    full = replace(known, recognition_weight=0.1, texts=512, batch_texts=8)
    assert Recipe.from_dict(json.loads(json.dumps(full.as_dict()))) == full
    assert replace(known, texts=512, batch_texts=8).recognition_weight == 0


def test_a_recipe_comes_back_from_json() -> None:
    for recipe in RECIPES.values():
        assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
    for wrong in ({"name": "x"}, {**RECIPES["tiny"].as_dict(), "colour": 1}):
        with pytest.raises(ArgumentError, match="another version of stn-deploy"):
            Recipe.from_dict(wrong)
