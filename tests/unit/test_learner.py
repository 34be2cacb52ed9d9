"""The parts of a step: learning rate, moving average, totals, clock, and what several processes share."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from stn_deploy.errors import ArgumentError
from stn_deploy.training import TextRectifier
from stn_deploy.training.clock import Clock
from stn_deploy.training.distributed import Team
from stn_deploy.training.feed import steps_per_epoch
from stn_deploy.training.learner import Learner
from stn_deploy.training.moving_average import EpochMean, MovingAverage
from stn_deploy.training.objective import Objective
from stn_deploy.training.pool import chunks_of
from stn_deploy.training.totals import Totals
from tests.small_training import SMALL
from tests.tolerances import FLOAT64


def test_the_learning_rate_rises_in_the_warm_up_and_falls_to_nothing(rectifier: TextRectifier) -> None:
    for warm_up in (0, 4):
        recipe = dataclasses.replace(SMALL, warm_up=warm_up)
        learner = Learner(Objective(TextRectifier(rectifier.spec), recipe), recipe, Team(), steps=100)
        rates = [learner.learning_rate(step) for step in range(100)]
        top = rates.index(max(rates))
        assert top <= warm_up
        assert rates[:top] == sorted(rates[:top])
        assert rates[top:] == sorted(rates[top:], reverse=True)
        assert 0.99 * recipe.learning_rate < rates[top] <= recipe.learning_rate
        assert 0 < rates[-1] < 1e-3 * recipe.learning_rate


def test_the_moving_average_of_equal_weights_is_those_weights_and_of_others_between_them(
    rectifier: TextRectifier,
) -> None:
    other = TextRectifier(rectifier.spec)
    average = MovingAverage(rectifier, decay=0.9)
    average.update(rectifier)
    average.update(rectifier)
    for name, value in average.rectifier.state_dict().items():
        assert torch.equal(value, rectifier.state_dict()[name])
    average.update(other)
    weight, first, second = (
        module.state_dict()["network.last.bias"] for module in (average.rectifier, rectifier, other)
    )
    assert torch.allclose(weight, first + 0.75 * (second - first))  # the third step keeps 3 / 12
    assert average.count == 3
    assert not average.rectifier.training


@pytest.mark.parametrize("epochs", [1, 3, 9])
def test_what_is_kept_is_the_mean_after_the_last_epochs(rectifier: TextRectifier, epochs: int) -> None:
    kept, seen = EpochMean(rectifier, epochs), []
    for left in reversed(range(5)):
        other = TextRectifier(rectifier.spec)
        kept.update(other, left=left)
        seen.append(other.state_dict()["network.reduce.weight"])
        shown = seen[4 - left :] if left >= epochs else seen[-min(epochs - left, len(seen)) :]
        mean = kept.rectifier.state_dict()["network.reduce.weight"]
        assert torch.allclose(mean, torch.stack(shown).mean(dim=0), atol=1e-6)
    assert kept.count == min(epochs, 5)


def test_totals_go_on_from_their_sums() -> None:
    values = [{"loss": torch.tensor(float(value))} for value in (3, 5, 10)]
    whole, first = Totals({}, Team()), Totals({}, Team())
    for value in values:
        whole.add(value)
    first.add(values[0])
    second = Totals(first.sums(), Team())
    for value in values[1:]:
        second.add(value)
    assert whole.means() == second.means() == {"loss": 6.0}
    assert Totals({}, Team()).means() == {}


def test_a_clock_goes_on_and_counts_the_epoch() -> None:
    now = 100.0
    clock = Clock(7.0, now=lambda: now)
    now += 3
    clock.begin_epoch()
    now += 2
    clock.count(30)
    assert clock.seconds == pytest.approx(12.0, abs=FLOAT64)
    assert clock.images_per_second == pytest.approx(15.0, abs=FLOAT64)


def test_processes_share_out_every_chunk_once() -> None:
    for count in (0, 1, 256, 257, 5000):
        for size in (1, 2, 3):
            shares = [chunk for rank in range(size) for chunk in chunks_of(count, (rank, size))]
            assert sorted(shares) == list(chunks_of(count))


def test_what_processes_cannot_share_is_refused() -> None:
    recipe = dataclasses.replace(SMALL, rendered=600, batch=192, batch_real=6)
    assert steps_per_epoch(recipe, Team()) == 4  # three chunks of 256
    assert steps_per_epoch(recipe, Team(rank=1, size=3)) == 4
    with pytest.raises(
        ArgumentError, match="batch is 192, expected a multiple of 5, the number of processes"
    ):
        steps_per_epoch(recipe, Team(rank=1, size=5))
    with pytest.raises(ArgumentError, match="batch_real is 6, expected a multiple of 4"):
        steps_per_epoch(recipe, Team(size=4))
    with pytest.raises(ArgumentError, match="leaves 0 .* to one of 6 processes, expected 32.* start fewer"):
        steps_per_epoch(recipe, Team(size=6))
