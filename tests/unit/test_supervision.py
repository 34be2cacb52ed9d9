"""The terms of the loss: what each teaches, that all of them together train, and what stays apart."""

from __future__ import annotations

import copy
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stn_deploy.errors import ArgumentError, OutputError
from stn_deploy.training import RealWord, Recipe, TextRectifier, TextWord, loop, train
from stn_deploy.training.batch import Batch, Texts
from stn_deploy.training.distributed import Team
from stn_deploy.training.feed import steps_per_epoch
from stn_deploy.training.gate import edge_points, identity_coefficients
from stn_deploy.training.objective import Objective
from stn_deploy.training.pool import Pool, PoolSettings
from stn_deploy.training.recogniser import LONGEST, encode
from stn_deploy.training.run_folder import RunFolder
from stn_deploy.training.text_pool import PICTURE_SIZE, TextPool
from stn_deploy.training.validation import hold_out
from tests.pictures import smooth
from tests.small_training import QUAD, SMALL, Interrupted, interrupted_at, journal, render_once, small_words

WEIGHTS: dict[str, Any] = {
    "bending_weight": 0.1,
    "foldover_weight": 0.1,
    "consistency_weight": 0.2,
    "recognition_weight": 0.05,
}
FULL = replace(SMALL, **WEIGHTS, texts=256, batch_texts=8)
"""All terms."""
TERMS = ("points", "bending", "foldover", "recognition", "consistency")


def recipe_of(rectifier: TextRectifier, **weights: Any) -> Recipe:
    spec = rectifier.spec
    fields = {"control_points": spec.control_points, "thumbnail_size": spec.thumbnail_size, **weights}
    return replace(FULL, **dict.fromkeys(WEIGHTS, 0.0) | fields)


def some_batch(rectifier: TextRectifier, *, texts: bool = False) -> Batch:
    """Soft pictures, of which the lines fill the crop."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([[30.0, 110.0], [64.0, 50.0], [25.0, 25.0], [48.0, 160.0]])

    def pictures(channels: int, size: tuple[int, int]) -> Tensor:
        coarse = torch.rand(4, channels, 4, 7, generator=generator) * 255
        return torch.nn.functional.interpolate(coarse, size, mode="bilinear")

    codes = [encode(text) for text in ("stop", "a", "Book7", "way")]
    known = Texts(
        thumbnails=pictures(3, rectifier.spec.thumbnail_size),
        sizes=sizes,
        pictures=pictures(1, PICTURE_SIZE),
        labels=torch.tensor([[*code, *[0] * (LONGEST - len(code))] for code in codes]),
        lengths=torch.tensor([len(code) for code in codes]),
    )
    whole = edge_points(identity_coefficients()[None], rectifier.spec.control_points)
    return Batch(
        thumbnails=pictures(3, rectifier.spec.thumbnail_size),
        sizes=sizes,
        points=whole.repeat(4, 1, 1),
        texts=known if texts else None,
    )


def gradients(term: Tensor, rectifier: TextRectifier) -> dict[str, float]:
    """Length of the gradient of each parameter of the localisation network."""
    rectifier.zero_grad()
    term.backward()
    return {
        name: 0.0 if value.grad is None else float(value.grad.norm())
        for name, value in rectifier.named_parameters()
    }


@pytest.mark.parametrize("name", ["recognition", "consistency", "bending"])
def test_each_term_reaches_the_whole_localisation_network(name: str, rectifier: TextRectifier) -> None:
    """Recognition does so through the sampler alone."""
    trained = copy.deepcopy(rectifier).requires_grad_().train()
    objective = Objective(trained, recipe_of(rectifier, **{f"{name}_weight": 1.0})).train()
    terms = objective(some_batch(rectifier, texts=name == "recognition"))
    assert terms.keys() == {"points", name}
    lengths = gradients(terms[name], trained)
    assert all(0 < length < math.inf for length in lengths.values()), lengths


def test_a_weight_scales_its_term_and_no_weight_leaves_it_out(rectifier: TextRectifier) -> None:
    def terms(factor: float) -> dict[str, Tensor]:
        torch.manual_seed(1)
        weights = {name: weight * factor for name, weight in WEIGHTS.items()}
        objective = Objective(rectifier, recipe_of(rectifier, **weights)).eval()
        torch.manual_seed(2)
        with torch.inference_mode():
            return objective(some_batch(rectifier, texts=True))

    once, twice, none = terms(1), terms(2), terms(0)
    assert once.keys() == set(TERMS)
    for name in TERMS[1:]:
        assert abs(twice[name] / once[name] - 2) < 1e-4 or once[name] == twice[name] == 0, name
    assert none.keys() == {"points"}
    assert none["points"] == once["points"]


@pytest.fixture
def rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are the same for all."""
    render_once(monkeypatch)


def some_texts() -> list[TextWord]:
    return [TextWord(image=smooth(24, 70, seed=seed), text=f"Text{seed}") for seed in range(5)]


def go(folder: Path, **options: object) -> None:
    train(FULL, folder, words=small_words(), texts=some_texts(), processes=1, **options)  # type: ignore[arg-type]


def test_a_training_with_all_terms_journals_each_and_goes_on_bit_for_bit(
    tmp_path: Path, rendering: None
) -> None:
    go(tmp_path / "whole")
    lines = journal(tmp_path / "whole")
    assert len(lines) == FULL.epochs
    for line in lines:
        assert all(math.isfinite(line[f"loss_{name}"]) for name in TERMS)
        assert line["loss"] == pytest.approx(sum(line[f"loss_{name}"] for name in TERMS))
    assert lines[1]["loss_recognition"] < lines[0]["loss_recognition"]

    with interrupted_at(5):
        go(tmp_path / "parts")
    go(tmp_path / "parts", resume=True)
    for name in ("checkpoint.safetensors", "samples/epoch_002.png"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    for line, expected in zip(journal(tmp_path / "parts"), lines, strict=True):
        assert line == pytest.approx(expected)


def test_every_parameter_takes_part_in_every_step(rectifier: TextRectifier) -> None:
    """Processes that train together wait for the gradient of each."""
    trained = copy.deepcopy(rectifier).requires_grad_().train()
    objective = Objective(trained, recipe_of(rectifier, **WEIGHTS)).train()
    torch.stack(list(objective(some_batch(rectifier, texts=True)).values())).sum().backward()
    assert [name for name, value in objective.named_parameters() if value.grad is None] == []


def test_held_out_words_are_never_among_the_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendering: None
) -> None:
    words = [RealWord(image=smooth(30, 70, seed=seed), quad=QUAD, text=f"w{seed}") for seed in range(20)]
    _, held_out = hold_out(words, FULL)
    asked: dict[str, Any] = {}

    def refuse(*_: object, **arguments: Any) -> None:
        asked.update(arguments)
        raise Interrupted

    monkeypatch.setattr(loop, "build_pools", refuse)
    with pytest.raises(Interrupted):
        train(FULL, tmp_path, words=words, texts=some_texts(), processes=1)
    given = {word.text for word in asked["texts"]}
    held = {word.text for word in held_out}
    assert len(held) == FULL.held_out
    assert not given & held
    assert given | held == {word.text for word in words} | {word.text for word in some_texts()}
    assert not held & {word.text for word in asked["words"]}


def test_texts_that_do_not_reach_all_processes_are_refused() -> None:
    recipe = replace(FULL, rendered=768, texts=512, batch=66, batch_real=6, batch_texts=6)
    assert steps_per_epoch(replace(recipe, batch=64, batch_real=4, batch_texts=4), Team(size=2))
    with pytest.raises(
        ArgumentError, match="texts is 512, expected more than 512, so that each of 3 processes"
    ):
        steps_per_epoch(recipe, Team(size=3))


def test_the_room_for_the_pictures_is_what_they_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PoolSettings(thumbnail_size=FULL.thumbnail_size, control_points=FULL.control_points, seed=0)
    known, texts = Pool.empty(512, settings), TextPool.empty(256, FULL.thumbnail_size)
    needed = sum(array.nbytes for array in [*known.arrays().values(), *texts.arrays().values()])
    usage, folder = shutil.disk_usage(tmp_path), RunFolder(tmp_path / "run")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    with pytest.raises(OutputError, match="the pictures of the recipe small take 0.0 GB"):
        folder.claim(FULL, real_words=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    folder.claim(FULL, real_words=True)
    without = needed - sum(array[:256].nbytes for array in known.arrays().values())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=without))
    folder.claim(FULL, real_words=False)
