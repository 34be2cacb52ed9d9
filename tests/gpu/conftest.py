"""Tests of the kernels on a GPU. They need no environment of this project: any Python with NumPy, OpenCV and
torch, CuPy for some, and this checkout as PYTHONPATH. Elsewhere each is skipped, and says what it needs.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

import pytest

from stn_deploy.errors import EngineError
from stn_deploy.plugins.launch.driver import Driver

HERE = Path(__file__).parent

with warnings.catch_warnings(), contextlib.suppress(ImportError):
    warnings.simplefilter("ignore")  # of a torch that is none of the versions that this project pins
    import torch  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if HERE in item.path.parents]
    lacking = what_lacks() if mine else None
    for item in mine:
        item.add_marker(pytest.mark.gpu)
        # Whatever versions are there: their warnings are no failures of ours.
        item.add_marker(pytest.mark.filterwarnings("default", "error:::stn_deploy"))
        if lacking is not None:
            item.add_marker(pytest.mark.skip(reason=f"needs a GPU: {lacking}"))


def what_lacks() -> str | None:
    """Why no kernel can be run here."""
    try:
        Driver().context(0)
    except EngineError as error:
        return str(error).partition(" (")[0]
    return None


@pytest.fixture(scope="session")
def cupy() -> Any:
    """CuPy, where it is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an installation that it finds odd
        return pytest.importorskip("cupy", reason="needs CuPy: pip install cupy-cuda13x")


@pytest.fixture(scope="session")
def torch_gpu() -> str:
    """The name of torch's GPU."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a build of torch for CUDA; this one is for the CPU")
    return "cuda"
