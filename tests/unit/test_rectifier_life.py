"""A rectifier over its life: timed, used from many threads, forked, closed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stn_deploy.errors import ClosedError
from stn_deploy.runtime import Rectifier
from tests.pictures import Image, smooth

FORKS = """
import os, sys
import numpy as np
from stn_deploy.runtime import Rectifier

threads = int(sys.argv[2])
image = np.random.default_rng(0).integers(0, 256, (400, 900, 3)).astype(np.uint8)
rectifier = Rectifier(sys.argv[1], threshold=0, threads=threads, height=200)
before = rectifier([image] * 3)
child = os.fork()
if child == 0:
    same = False
    try:
        after = rectifier([image] * 3)
        same = all(np.array_equal(a.image, b.image) for a, b in zip(after, before, strict=True))
    finally:
        os._exit(not same)  # as the workers of multiprocessing end
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(rectifier(image).image, before[0].image)
"""


def test_timings_are_given_on_request(model: Path, crops: list[Image]) -> None:
    rectifier = Rectifier(model, threshold=0)
    assert rectifier(crops[0]).timings is None
    for result in (*rectifier(crops, timings=True), *rectifier(iter(crops), timings=True)):
        assert result.timings is not None
        assert result.timings.decode >= 0
        assert result.timings.localise > 0
        assert result.timings.sample > 0


def test_sixteen_threads_get_what_one_gets(model: Path) -> None:
    rectifier = Rectifier(model, threshold=0, size=(32, 100))
    images = [smooth(20 + seed, 60 + 3 * seed, seed=seed) for seed in range(64)]
    expected = [rectifier(image) for image in images]
    with ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            for result, wanted in zip(pool.map(rectifier, images), expected, strict=True):
                assert np.array_equal(result.theta, wanted.theta)
                assert np.array_equal(result.image, wanted.image)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs a system that can fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_fork_after_use_works(model: Path, threads: int) -> None:
    """A hang would end in the timeout of subprocess, which is the failure."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(model), str(threads)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_rectifier_says_so(model: Path) -> None:
    image = smooth(20, 60)
    with Rectifier(model) as rectifier:
        rectifier(image)
        started = rectifier(iter([image] * 100))
        next(started)
        unused = rectifier(iter([image]))
    for call in (
        lambda: rectifier(image),
        lambda: rectifier([image]),
        lambda: rectifier([]),
        lambda: rectifier(iter([])),
        lambda: rectifier([image], errors="keep"),
        lambda: next(unused),
        lambda: list(started),
    ):
        with pytest.raises(ClosedError, match="rectifier: expected an open one"):
            call()
    rectifier.close()
