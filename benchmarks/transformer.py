"""Grid and sample, forward and backward, beside torch, the unfolded chain of TRBA and kornia."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from _record import keep, seconds, spread
from _rivals import KorniaSpline, TorchAffine, UnfoldedSpline
from _rivals import sample as sample_of_torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from stn_deploy.geometry import AFFINE, ThinPlateSpline, Transform
from stn_deploy.stn import GridGenerator, sample

ROUNDS, POINTS = 15, 20
SETTINGS = {
    "64 x 3x64x256 -> 32x100": ((64, 3, 64, 256), (32, 100)),
    "256 x 1x28x28": ((256, 1, 28, 28), (28, 28)),
}
Warp = Callable[[Tensor, Tensor], Tensor]


class Ours:
    def __init__(self, transform: Transform, output_size: tuple[int, int]) -> None:
        self.grid = GridGenerator(transform, output_size)

    def __call__(self, source: Tensor, theta: Tensor) -> Tensor:
        return sample(source, self.grid(theta))


class SamplerAlone:
    """What is left where the grid costs nothing: no grid generator can make the whole faster than this."""

    def __init__(self, grid: Tensor) -> None:
        self.grid = grid.detach().requires_grad_()

    def __call__(self, source: Tensor, theta: Tensor) -> Tensor:  # noqa: ARG002
        self.grid.grad = None
        return sample_of_torch(source, self.grid)


def main() -> None:
    """Every setting on 1 and 2 threads; candidates take turns, so that a busy machine slows all alike."""
    result: dict[str, Any] = {}
    for name, (shape, output_size) in SETTINGS.items():
        for transform, rivals in transforms(output_size):
            source, theta = inputs(shape, transform)
            ours = Ours(transform, output_size)
            limit = {"F.grid_sample alone, its grid given": SamplerAlone(ours.grid(theta))}
            candidates: dict[str, Warp] = {"stn-deploy": ours, **rivals, **limit}
            for threads in (1, 2):
                torch.set_num_threads(threads)
                label = f"{transform.name}, {name}, {threads} thread{'s' * (threads > 1)}"
                result[label] = compare(candidates, source, theta)
            torch.set_num_threads(1)
            unit = 4 * shape[0] * output_size[0] * output_size[1] * (2 + shape[1])
            result[f"{transform.name}, {name}, forward memory over one grid and one output"] = {
                name: peak_bytes(warp, source, theta) / unit for name, warp in candidates.items()
            }
    keep("transformer", result)


def transforms(output_size: tuple[int, int]) -> list[tuple[Transform, dict[str, Warp]]]:
    """Ours and who does the same."""
    return [
        (AFFINE, {"F.affine_grid + F.grid_sample": TorchAffine(output_size)}),
        (
            ThinPlateSpline.on_edges(POINTS),
            {
                "TRBA, unfolded": UnfoldedSpline(output_size, POINTS),
                "kornia.geometry.transform": KorniaSpline(output_size, POINTS),
            },
        ),
    ]


def inputs(shape: tuple[int, ...], transform: Transform) -> tuple[Tensor, Tensor]:
    """Random images, and thetas close to the identity, as in training."""
    generator = torch.Generator().manual_seed(0)
    identity = torch.tensor(transform.identity, dtype=torch.float32)
    theta = 0.9 * identity + 0.05 * torch.randn(shape[0], len(identity), generator=generator)
    return torch.rand(shape, generator=generator).requires_grad_(), theta.requires_grad_()


def compare(candidates: dict[str, Warp], source: Tensor, theta: Tensor) -> dict[str, Any]:
    """Milliseconds of forward with backward, and of forward alone; how many times as long the others take.

    A source that is a feature map needs its gradient; one that is an image does not.
    """
    image = source.detach()
    with torch.no_grad():
        outputs = [warp(source, theta) for warp in candidates.values()]
    assert all((output - outputs[0]).abs().max() < 0.01 for output in outputs), "not the same warp"
    gradient = torch.rand_like(outputs[0])

    def train(warp: Warp, given: Tensor) -> None:
        given.grad = theta.grad = None
        warp(given, theta).backward(gradient)

    def infer(warp: Warp) -> None:
        with torch.no_grad():
            warp(image, theta)

    works = {
        "forward and backward, feature map": lambda warp: train(warp, source),
        "forward and backward, image": lambda warp: train(warp, image),
        "forward": infer,
    }
    times: dict[str, dict[str, list[float]]] = {what: {name: [] for name in candidates} for what in works}
    for _ in range(ROUNDS):
        for what, work in works.items():
            for name, warp in candidates.items():
                times[what][name] += seconds(lambda: work(warp), repeats=3, warm_up=2)  # noqa: B023
    return {what: summary(found) for what, found in times.items()}


def summary(times: dict[str, list[float]]) -> dict[str, Any]:
    ours, *rivals = times
    ratios = {
        rival: spread([b / a for a, b in zip(times[ours], times[rival], strict=True)]) for rival in rivals
    }
    return {
        "ms": {name: spread([1e3 * value for value in values]) for name, values in times.items()},
        "times_as_fast_as": ratios,
    }


def peak_bytes(warp: Warp, source: Tensor, theta: Tensor) -> int:
    """Most bytes that one forward pass holds beyond its inputs."""
    warp(source, theta)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        warp(source, theta)
    assert profiler.profiler is not None
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    held = peak = 0
    for _, change in sorted(changes):
        held += change
        peak = max(peak, held)
    return peak


if __name__ == "__main__":
    main()
