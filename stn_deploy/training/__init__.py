"""From rendered and real words to a trained text rectifier."""

from __future__ import annotations

from stn_deploy.training.checkpoint import build_rectifier, load_checkpoint, save_checkpoint
from stn_deploy.training.loop import TrainingResult, train
from stn_deploy.training.published import PublishedRectifier
from stn_deploy.training.real import RealWord, load_real_words
from stn_deploy.training.recipe import RECIPES, Recipe, find_recipe
from stn_deploy.training.rectifier import AnyRectifier, Localised, TextRectifier
from stn_deploy.training.text_pool import TextWord, load_text_words

__all__ = [
    "RECIPES",
    "AnyRectifier",
    "Localised",
    "PublishedRectifier",
    "RealWord",
    "Recipe",
    "TextRectifier",
    "TextWord",
    "TrainingResult",
    "build_rectifier",
    "find_recipe",
    "load_checkpoint",
    "load_real_words",
    "load_text_words",
    "save_checkpoint",
    "train",
]
