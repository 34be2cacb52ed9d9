"""What the tests share. torch is imported by the fixtures that need it, not by all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.pictures import Image

if TYPE_CHECKING:
    from stn_deploy.training import TextRectifier


@pytest.fixture(scope="session")
def rectifier() -> TextRectifier:
    """A rectifier with random weights and no setting at its default.

    No weight is zero and no batch norm is trivial, so a weight lost or folded wrongly on the way changes the
    answer. The biases make tilted and bent lines, so theta is far from the identity and the scores differ.
    """
    import torch

    from stn_deploy.artifact import RectifierSpec
    from stn_deploy.training import TextRectifier

    spec = RectifierSpec(
        control_points=14,
        output_size=(24, 70),
        thumbnail_size=(16, 40),
        margin=0.2,
        kernel_aspect=0.3,
        threshold=0.7,
        mean=100.0,
        std=60.0,
        localisation={"channels": [8, 12, 16, 16], "dense": 24},
        recipe={"name": "random", "seed": 5},
    )
    built = TextRectifier(spec)
    generator = torch.Generator().manual_seed(5)

    def uniform(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    with torch.no_grad():
        for name, buffer in built.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(uniform(buffer, -0.4, 0.4))
            elif name.endswith("running_var"):
                buffer.copy_(uniform(buffer, 0.3, 1.8))
        for module in built.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.6, 1.6))
                module.bias.copy_(uniform(module.bias, -0.3, 0.3))
            elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                reach = 2.5 / module.weight[0].numel() ** 0.5
                module.weight.copy_(uniform(module.weight, -reach, reach))
                if module.bias is not None:
                    module.bias.copy_(uniform(module.bias, -0.2, 0.2))
        last = built.network.last
        last.weight.mul_(0.12)
        last.bias.mul_(0.5)
        last.bias[3] = 0.5  # the line falls to the right ...
        last.bias[5] = 0.2  # ... and sags
    return built.eval()


@pytest.fixture(scope="session")
def model(rectifier: TextRectifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random rectifier as an exported file."""
    from stn_deploy.export import export_rectifier

    path = tmp_path_factory.mktemp("model") / "random.onnx"
    export_rectifier(rectifier, path)
    return path


@pytest.fixture(scope="session")
def crops() -> list[Image]:
    """Rendered words of many sizes, and three pictures as small, as low and as narrow as they may be."""
    from stn_deploy.export.verification import verification_images

    rng = np.random.default_rng(1)
    small = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in ((2, 2), (3, 190), (41, 2))]
    return [*verification_images(9, seed=3), *small]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread: where tests run side by side, threads of many small works wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
