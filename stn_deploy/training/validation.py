"""How far the control points are from the truth on words that the training never saw."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from stn_deploy.errors import DatasetError
from stn_deploy.training.loss import point_error
from stn_deploy.training.pool import Pool, PoolSettings, build_pools, pool_of_scenes, rendered_scenes
from stn_deploy.training.real import RealWord
from stn_deploy.training.recipe import Recipe
from stn_deploy.training.rectifier import TextRectifier
from stn_deploy.training.scene import Scene

_RENDERED, _SHOWN = 2048, 24
_BATCH = 512
_APART = 1_000_003  # added to the seed


def hold_out(words: list[RealWord], recipe: Recipe) -> tuple[list[RealWord], list[RealWord]]:
    """Real words to train on, and to validate on: at most a fifth of them.

    Raises:
        DatasetError: there are some, but fewer to train on than the recipe wants in a step.
    """
    order = np.random.default_rng(recipe.seed).permutation(len(words))
    count = min(recipe.held_out, len(words) // 5)
    kept, held = [words[i] for i in order[count:]], [words[i] for i in order[:count]]
    if words and len(kept) < recipe.batch_real:
        raise DatasetError(
            f"training data: expected at least {recipe.batch_real} usable words (batch_real of the recipe "
            f"{recipe.name}) beside the {len(held)} held out for validation, got {len(kept)}; add words, or "
            "leave --data out to train on rendered words alone"
        )
    return kept, held


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Pictures that are not trained on.

    pools: by their kind: rendered, and real where there are real words.
    samples: some of their scenes, to be looked at.
    """

    pools: dict[str, Pool]
    samples: list[Scene]

    @classmethod
    def prepare(
        cls, settings: PoolSettings, recipe: Recipe, held_out: list[RealWord], *, processes: int
    ) -> Validation:
        """Rendered words of another seed, and the real crops that were held out, as they are."""
        apart = dataclasses.replace(settings, seed=settings.seed + _APART)
        count = min(_RENDERED, recipe.rendered)
        pools = {"rendered": build_pools(apart, rendered=count, processes=processes).rendered}
        scenes = [word.scene(recipe.control_points) for word in held_out]
        if scenes:
            pools["real"] = pool_of_scenes(scenes, settings)
        shown = scenes[: _SHOWN // 2]
        return cls(pools=pools, samples=[*shown, *rendered_scenes(apart, _SHOWN - len(shown))])

    @torch.inference_mode()
    def measure(self, rectifier: TextRectifier, device: torch.device) -> dict[str, float]:
        """Mean and 90th percentile of the control-point error, text heights."""
        metrics = {}
        for name, pool in self.pools.items():
            errors = []
            for start in range(0, len(pool), _BATCH):
                part = slice(start, start + _BATCH)
                thumbnails, sizes, points = (
                    torch.from_numpy(array[part]).to(device)
                    for array in (pool.thumbnails, pool.sizes, pool.points)
                )
                predicted = rectifier.predict_points(thumbnails.float(), sizes)
                errors.append(point_error(predicted, points, sizes))
            error = torch.cat(errors).cpu().numpy()
            metrics[f"{name}_error"] = float(error.mean())
            metrics[f"{name}_error_p90"] = float(np.quantile(error, 0.9))
        return metrics
