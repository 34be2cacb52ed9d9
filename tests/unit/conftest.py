"""What unit tests share: a rectifier that finds what a test tells it to find, and a GPU that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.engines import FloatBatch, Localisation
from tests.batching import Doubling
from tests.fake_cuda import FakeCuda, install_cuda


class KnownLocaliser:
    """Finds the same theta and score in every image."""

    def __init__(self, theta: NDArray[np.floating], score: float) -> None:
        self.theta = np.asarray(theta, np.float32)
        self.score = score

    def localise(self, thumbnails: FloatBatch, sizes: FloatBatch) -> Localisation:
        assert len(thumbnails) == len(sizes)
        score = np.full(len(sizes), self.score, np.float32)
        return Localisation(np.repeat(self.theta[None], len(sizes), axis=0), score)


Knowing = Callable[..., Rectifier]


@pytest.fixture
def knowing(model: Path, monkeypatch: pytest.MonkeyPatch) -> Knowing:
    """``knowing(theta, score, **settings)``: a `Rectifier` whose localisation network is replaced."""

    def make(theta: NDArray[np.floating], score: float = 0.9, **settings: Any) -> Rectifier:
        rectifier = Rectifier(model, **settings)
        monkeypatch.setattr(rectifier._network, "_localiser", KnownLocaliser(theta, score))
        return rectifier

    return make


@pytest.fixture
def doubling() -> Iterator[Doubling]:
    """A handler of a batcher, whose gate is open at the end, so that no thread stays behind."""
    handler = Doubling()
    yield handler
    handler.gate.set()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A stand-in of cuda-bindings, with a GPU."""
    return install_cuda(monkeypatch, FakeCuda())
