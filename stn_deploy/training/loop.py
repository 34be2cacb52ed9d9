"""The training itself: render a pool, then regress control points on it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from stn_deploy.artifact import RectifierSpec
from stn_deploy.errors import OutputError, TrainingError
from stn_deploy.training.augment import vary_light
from stn_deploy.training.checkpoint import save_checkpoint
from stn_deploy.training.loss import point_error, point_loss
from stn_deploy.training.pool import Pool, PoolSettings, build_pools, pool_of_scenes
from stn_deploy.training.real import RealWord
from stn_deploy.training.recipe import Recipe
from stn_deploy.training.rectifier import TextRectifier

Report = Callable[[str, float], None]
"""Called with what is being done and the part of it that is done, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """checkpoint: file written. rectifier: the trained one. metrics: of the last epoch."""

    checkpoint: Path
    rectifier: TextRectifier
    metrics: dict[str, float]


def train(
    recipe: Recipe,
    output: Path,
    *,
    words: list[RealWord] | None = None,
    processes: int | None = None,
    report: Report = lambda *_: None,
) -> TrainingResult:
    """Train a text rectifier by a recipe.

    Args:
        recipe: all settings; saved in the checkpoint.
        output: folder for checkpoint.safetensors and metrics.jsonl; made if absent.
        words: real words with quads; the recipe's ``held_out`` of them are kept for validation.
        processes: for rendering; all cores by default.
        report: receives the progress.
    Raises:
        OutputError: the folder cannot be written.
        TrainingError: the loss is no longer finite.
    """
    torch.manual_seed(recipe.seed)
    _prepare(output)
    training_words, held_out = _split(words or [], recipe)
    settings = PoolSettings(
        thumbnail_size=recipe.thumbnail_size, control_points=recipe.control_points, seed=recipe.seed
    )
    total = recipe.rendered + (recipe.real if training_words else 0)
    finished = 0

    def count(done: int) -> None:
        nonlocal finished
        finished += done
        report("rendering", min(1.0, finished / total))

    rendered, real = build_pools(
        settings,
        rendered=recipe.rendered,
        real=recipe.real,
        words=training_words,
        processes=processes or os.cpu_count() or 1,
        progress=count,
    )
    validation = _validation_pool(settings, recipe, held_out)
    rectifier = TextRectifier(
        RectifierSpec(
            control_points=recipe.control_points,
            thumbnail_size=recipe.thumbnail_size,
            localisation={"channels": list(recipe.channels), "dense": recipe.dense},
            recipe={**recipe.as_dict(), "real_words": len(training_words)},
        )
    )
    metrics = _fit(rectifier, recipe, rendered, real, validation, output / "metrics.jsonl", report)
    checkpoint = output / "checkpoint.safetensors"
    save_checkpoint(rectifier, checkpoint)
    return TrainingResult(checkpoint=checkpoint, rectifier=rectifier, metrics=metrics)


def _prepare(output: Path) -> None:
    """Fail before the work, not after it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "metrics.jsonl").write_text("")
    except OSError as error:
        raise OutputError(f"{output}: the output folder cannot be written ({error})") from error


def _split(words: list[RealWord], recipe: Recipe) -> tuple[list[RealWord], list[RealWord]]:
    order = np.random.default_rng(recipe.seed).permutation(len(words))
    count = min(recipe.held_out, len(words) // 5)
    return [words[i] for i in order[count:]], [words[i] for i in order[:count]]


def _validation_pool(settings: PoolSettings, recipe: Recipe, held_out: list[RealWord]) -> dict[str, Pool]:
    """Rendered words of another seed, and the real crops that were held out, as they are."""
    apart = PoolSettings(
        thumbnail_size=settings.thumbnail_size,
        control_points=settings.control_points,
        seed=settings.seed + 1_000_003,
    )
    rendered, _ = build_pools(apart, rendered=min(2048, recipe.rendered), real=0, words=[], processes=1)
    pools = {"rendered": rendered}
    if held_out:
        scenes = [word.scene(recipe.control_points) for word in held_out]
        pools["real"] = pool_of_scenes(scenes, settings)
    return pools


def _batches(
    recipe: Recipe, rendered: Pool, real: Pool | None, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch of thumbnails, sizes and points."""
    order = rng.permutation(len(rendered))
    step = min(recipe.batch, len(rendered))
    for start in range(0, len(order) - step + 1, step):
        picks = np.sort(order[start : start + step])
        parts = [(rendered, picks)]
        if real is not None and recipe.batch_real:
            parts.append((real, rng.integers(len(real), size=recipe.batch_real)))
        yield (
            torch.from_numpy(np.concatenate([pool.thumbnails[i] for pool, i in parts])).float(),
            torch.from_numpy(np.concatenate([pool.sizes[i] for pool, i in parts])),
            torch.from_numpy(np.concatenate([pool.points[i] for pool, i in parts])),
        )


def _fit(
    rectifier: TextRectifier,
    recipe: Recipe,
    rendered: Pool,
    real: Pool | None,
    validation: dict[str, Pool],
    metrics_file: Path,
    report: Report,
) -> dict[str, float]:
    """Train in place; the moving average of the weights is what stays."""
    rng = np.random.default_rng(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(
        rectifier.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * (len(rendered) // min(recipe.batch, len(rendered)))
    warm_up = min(recipe.warm_up, steps // 5 + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * step / steps))),
    )
    average = AveragedModel(rectifier, multi_avg_fn=_average_weights(recipe.average), use_buffers=True)
    started, step, metrics = time.monotonic(), 0, {}
    for epoch in range(recipe.epochs):
        rectifier.train()
        losses = []
        for thumbnails, sizes, points in _batches(recipe, rendered, real, rng):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                predicted = rectifier.predict_points(vary_light(thumbnails, generator), sizes)
            loss = point_loss(predicted, points, sizes, along_weight=recipe.along_weight, beta=recipe.beta)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(rectifier.parameters(), recipe.clip)
            optimiser.step()
            schedule.step()
            average.update_parameters(rectifier)
            losses.append(loss.item())
            step += 1
            if not math.isfinite(losses[-1]):
                raise TrainingError(
                    f"training: the loss became {losses[-1]} in epoch {epoch + 1}, step {step}; "
                    f"lower the learning rate (now {recipe.learning_rate})"
                )
            report("training", step / steps)
        metrics = {"loss": float(np.mean(losses)), **_validate(_averaged(average), validation)}
        line = {"epoch": epoch + 1, "seconds": round(time.monotonic() - started, 1), **metrics}
        try:
            with metrics_file.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OutputError(f"{metrics_file}: cannot be written ({error.strerror or error})") from error
    rectifier.load_state_dict(_averaged(average).state_dict())
    rectifier.eval()
    return metrics


def _averaged(average: AveragedModel) -> TextRectifier:
    return cast(TextRectifier, average.module)


def _average_weights(
    decay: float,
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Exponential moving average that forgets its start: the first steps weigh as a plain mean."""

    @torch.no_grad()
    def update(averages: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        step = int(count)
        weight = 1 - min(decay, (1 + step) / (10 + step))
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value, weight)
            else:
                average.copy_(value)

    return update


@torch.inference_mode()
def _validate(rectifier: TextRectifier, validation: dict[str, Pool]) -> dict[str, float]:
    """Mean and 90th percentile of the control-point error, text heights."""
    rectifier.eval()
    metrics = {}
    for name, pool in validation.items():
        errors = []
        for start in range(0, len(pool), 512):
            part = slice(start, start + 512)
            sizes = torch.from_numpy(pool.sizes[part])
            predicted = rectifier.predict_points(torch.from_numpy(pool.thumbnails[part]).float(), sizes)
            errors.append(point_error(predicted, torch.from_numpy(pool.points[part]), sizes))
        error = torch.cat(errors).numpy()
        metrics[f"{name}_error"] = float(error.mean())
        metrics[f"{name}_error_p90"] = float(np.quantile(error, 0.9))
    return metrics
