"""The fused kernel on a GPU beside torch eager and torch.compile; the ceilings: a copy, an empty launch."""

from __future__ import annotations

import argparse
import gc
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from typing import Any

import torch
from _gpu import EmptyKernel, ReferenceKernels, Work, described, host_time, measure, need_gpu, rotations
from _record import keep, spread
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.geometry import AFFINE_3D, ThinPlateSpline, Transform
from stn_deploy.plugins.launch import Lengths, Sampling, blocks_for, plan_launch
from stn_deploy.plugins.operators import theta_grid_sample
from stn_deploy.plugins.operators.tensors import ELEMENTS
from stn_deploy.stn import GridGenerator

ROUNDS = 30
SPLINE = ThinPlateSpline.on_edges(20)
OURS, COPY, EMPTY, READABLE = "stn-deploy", "copy of as many bytes", "empty launch", "readable kernel"
EAGER, HALF = "torch eager", "torch eager, grid in half precision"
COMPILED = "torch.compile"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """U (n, c, *size) -> V (n, c, *output)."""

    n: int
    c: int
    size: tuple[int, ...]
    output: tuple[int, ...]
    dtype: torch.dtype
    transform: Transform = SPLINE
    mode: str = "bilinear"
    channels_last: bool = False

    def __str__(self) -> str:
        sizes = [f"{self.c}x{'x'.join(map(str, size))}" for size in (self.size, self.output)]
        parts = [f"{self.n} x {sizes[0]} -> {'x'.join(map(str, self.output))}"]
        parts += [str(self.dtype).removeprefix("torch."), self.mode]
        return ", ".join(parts + ["channels last"] * self.channels_last)

    @property
    def bytes(self) -> int:
        """What must move: U read once, V written once."""
        return self.n * self.c * (prod(self.size) + prod(self.output)) * self.dtype.itemsize


TRAINING = Setting(n=256, c=3, size=(64, 256), output=(32, 100), dtype=torch.float32)


def settings() -> list[Setting]:
    """Text lines in batches large and small, bicubic, many channels in both layouts, volumes."""
    halves = (torch.float16, torch.float32)
    line: dict[str, Any] = {"c": 3, "size": (64, 256), "output": (32, 100)}
    features: dict[str, Any] = {"n": 256, "c": 64, "size": (32, 100), "output": (32, 100)}
    volume: dict[str, Any] = {"n": 64, "c": 1, "size": (64, 64, 64), "output": (64, 64, 64)}
    return [
        *(Setting(n=n, dtype=dtype, **line) for n, dtype in product((1, 16, 4096), halves)),
        Setting(n=4096, dtype=torch.bfloat16, **line),
        *(Setting(n=4096, dtype=dtype, mode="bicubic", **line) for dtype in halves),
        *(
            Setting(dtype=dtype, channels_last=last, **features)
            for dtype, last in product(halves, (False, True))
        ),
        *(Setting(dtype=dtype, transform=AFFINE_3D, mode="trilinear", **volume) for dtype in halves),
    ]


class Inputs:
    """Several sets, so that no call finds its own in the cache.

    Control points lie near those of the identity, so that V shows all of U.
    """

    def __init__(self, setting: Setting) -> None:
        self.count = rotations(setting.bytes)
        generator = torch.Generator("cuda").manual_seed(0)
        grid_generator = GridGenerator(setting.transform, setting.output).cuda()
        shape = (setting.n, setting.c, *setting.size)
        layout = torch.contiguous_format
        if setting.channels_last:
            layout = torch.channels_last if len(setting.size) == 2 else torch.channels_last_3d
        self.basis = grid_generator.basis
        self.sources, self.thetas = [], []
        identity = torch.tensor(setting.transform.identity, dtype=torch.float32, device="cuda")
        for _ in range(self.count):
            source = torch.rand(shape, generator=generator, device="cuda", dtype=torch.float32)
            self.sources.append(source.to(setting.dtype).contiguous(memory_format=layout))
            noise = torch.randn(setting.n, len(identity), generator=generator, device="cuda")
            columns = grid_generator.coefficients(identity + 0.02 * noise).transpose(1, 2)
            self.thetas.append(columns.contiguous())


def main() -> None:
    """Every setting; candidates take turns, so that a change of clocks slows all alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", help="settings that hold this text, for a trial that is not kept"
    )
    only = parser.parse_args().only
    need_gpu()
    missing: list[str] = []
    failed: list[str] = []
    try:
        readable = ReferenceKernels()
    except FileNotFoundError as error:
        readable = None
        missing.append(str(error))
    rows: dict[str, Any] = {}
    result: dict[str, Any] = {"gpu": described(), "settings": rows}

    def step(name: str, work: Callable[[], Any]) -> Any:
        """One part of the figures; where it fails it is named, and the rest is measured."""
        print(f"-- {name}", flush=True)
        found = None
        try:
            found = work()
        except torch.cuda.OutOfMemoryError:
            missing.append(f"{name}: more memory than this GPU has")
        except Exception as error:  # noqa: BLE001
            failed.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
            print(f"   failed: {failed[-1]}", flush=True)
        gc.collect()
        return found

    def save(*, last: bool = False) -> None:
        ends = {"goals": goals(rows), "missing": sorted(set(missing)), "failed": failed}
        keep("plugins", {**result, **ends}, trial=bool(only), last=last)

    for setting in settings():
        if only not in str(setting):
            continue
        found = step(str(setting), partial(compare, setting, readable, missing))
        if found is not None:
            rows[str(setting)] = found
            print(line_of(found), flush=True)
        torch.cuda.empty_cache()
        save()
    result["training"] = step(f"forward and backward, {TRAINING}", partial(training, missing))
    result["host_us_of_a_call"] = step("what the host spends on a call", partial(calls, missing))
    save(last=True)
    if failed:
        raise SystemExit("not measured:\n" + "\n".join(failed))


def line_of(measured: dict[str, Any]) -> str:
    """Medians, for those who watch."""
    times = ", ".join(f"{name} {values['median']:.2f} us" for name, values in measured["us"].items())
    return f"   {times}; {measured['share_of_copy_bandwidth']['median']:.0%} of the copy bandwidth"


def compare(setting: Setting, readable: ReferenceKernels | None, missing: list[str]) -> dict[str, Any]:
    """Microseconds of each candidate, and what follows."""
    inputs = Inputs(setting)
    works = candidates(setting, inputs, readable, missing)
    times, uncaptured = measure(works, inputs.count, ROUNDS)
    missing += [f"{name}, {setting}: not captured into a graph" for name in uncaptured]
    ours = times[OURS]
    rivals = [name for name in (EAGER, HALF, COMPILED) if name in times]
    return {
        "bytes": setting.bytes,
        "sets_of_inputs": inputs.count,
        "us": {name: spread(values) for name, values in times.items()},
        "share_of_copy_bandwidth": spread([a / b for a, b in zip(times[COPY], ours, strict=True)]),
        "us_above_an_empty_launch": spread([a - b for a, b in zip(ours, times[EMPTY], strict=True)]),
        "gigabytes_per_second": spread([1e-3 * setting.bytes / value for value in ours]),
        "times_as_fast_as": {
            name: spread([b / a for a, b in zip(ours, times[name], strict=True)]) for name in rivals
        },
    }


def candidates(
    setting: Setting, inputs: Inputs, readable: ReferenceKernels | None, missing: list[str]
) -> dict[str, Work]:
    """What is compared; each warp has shown that it gives what ours gives."""
    basis, sources, thetas = inputs.basis, inputs.sources, inputs.thetas
    eager = warp_of_torch(setting, basis)
    works: dict[str, Work] = {
        OURS: lambda index: fused(setting, sources[index], basis, thetas[index]),
        EAGER: lambda index: eager(sources[index], thetas[index]),
    }
    if setting.dtype == torch.float16:
        half = warp_of_torch(setting, basis, grid_in_half=True)
        works[HALF] = lambda index: half(sources[index], thetas[index])
    torch._dynamo.reset()  # it compiles one function only so many times
    compiled = torch.compile(warp_of_torch(setting, basis), dynamic=False)
    try:
        compiled(sources[0], thetas[0])
        works[COMPILED] = lambda index: compiled(sources[index], thetas[index])
    except Exception as error:  # noqa: BLE001, torch's compiler fails in many ways; the others are measured
        missing.append(f"{COMPILED}: {type(error).__name__}: {str(error)[:200]}")
    expected = works[EAGER](0)
    for name in (OURS, COMPILED):
        assert name not in works or is_same(works[name](0), expected), f"{name} is not the same warp"
    if HALF in works and not is_same(works[HALF](0), expected, 0.3):
        del works[HALF]
        missing.append(f"{HALF}, {setting}: another warp")
    lengths, sampling = launch_of(setting, basis.shape[1])
    if readable is not None:
        outputs = [torch.empty_like(works[OURS](index)) for index in range(inputs.count)]

        def reference(index: int) -> None:
            addresses = (sources[index].data_ptr(), basis.data_ptr(), thetas[index].data_ptr(), 0)
            output = (outputs[index].data_ptr(),)
            readable.launch(plan_launch("theta_grid_sample", sampling, lengths, addresses, output))

        try:
            reference(0)
            assert is_same(outputs[0], expected), "another warp"
            works[READABLE] = reference
        except (AssertionError, subprocess.CalledProcessError) as error:
            missing.append(f"{READABLE}, {setting}: {error}")
    empty, blocks = EmptyKernel(), blocks_for(lengths)
    # No zeros: some memory moves them faster.
    copies = [
        torch.empty(2, setting.bytes // 2, dtype=torch.uint8, device="cuda").random_()
        for _ in range(inputs.count)
    ]
    works[COPY] = lambda index: copies[index][0].copy_(copies[index][1])
    works[EMPTY] = lambda index: empty.launch(blocks)
    return works


def is_same(found: Tensor, expected: Tensor, allowed: float = 0.02) -> bool:
    return bool((found - expected).abs().max() < allowed)


def is_same_gradient(found: Tensor, expected: Tensor) -> bool:
    """Of all numbers together: a position that rounding takes across a pixel's centre has another slope."""
    return bool((found - expected).norm() < 0.02 * expected.norm())


def launch_of(setting: Setting, k: int) -> tuple[Lengths, Sampling]:
    """How our kernel is launched."""
    depth, height, width = (*(1,) * (3 - len(setting.size)), *setting.size)
    lengths = Lengths(setting.n, setting.c, depth, height, width, k, prod(setting.output))
    sampling = Sampling(
        len(setting.size),
        setting.mode,
        element=ELEMENTS[setting.dtype],
        channels_last=setting.channels_last,
    )
    return lengths, sampling


def fused(setting: Setting, source: Tensor, basis: Tensor, theta: Tensor) -> Tensor:
    return theta_grid_sample(source, basis, theta, output_size=setting.output, mode=setting.mode)


def warp_of_torch(
    setting: Setting, basis: Tensor, *, grid_in_half: bool = False
) -> Callable[[Tensor, Tensor], Tensor]:
    """basis @ theta, then torch's sampler, which wants one type for both.

    A half-precision source is widened; with ``grid_in_half`` the grid is narrowed instead, which is faster,
    and wrong by up to 0.03 pixels at a width of 256.
    """
    mode = "bilinear" if setting.mode == "trilinear" else setting.mode

    def warp(source: Tensor, theta: Tensor) -> Tensor:
        grid = (basis @ theta).reshape(len(theta), *setting.output, theta.shape[2])
        if grid_in_half:
            return F.grid_sample(source, grid.to(source.dtype), mode, "border", align_corners=False)
        sampled = F.grid_sample(source.float(), grid, mode, "border", align_corners=False)
        return sampled.to(source.dtype)

    return warp


def training(missing: list[str]) -> dict[str, Any]:
    """Forward and backward, with gradients for theta and for U, as inside a network."""
    setting = TRAINING
    inputs = Inputs(setting)
    sources = [each.requires_grad_() for each in inputs.sources]
    thetas = [each.requires_grad_() for each in inputs.thetas]
    gradient = torch.rand(setting.n, setting.c, *setting.output, device="cuda")
    eager = warp_of_torch(setting, inputs.basis)

    def step(warp: Callable[[Tensor, Tensor], Tensor]) -> Work:
        return lambda index: torch.autograd.grad(
            warp(sources[index], thetas[index]), (sources[index], thetas[index]), gradient
        )

    works = {OURS: step(lambda u, theta: fused(setting, u, inputs.basis, theta)), EAGER: step(eager)}
    found, expected = (work(0) for work in works.values())
    for one, other in zip(found, expected, strict=True):
        assert is_same_gradient(one, other), "not the same gradients"
    try:
        compiled = step(torch.compile(warp_of_torch(setting, inputs.basis), dynamic=False))
        compiled(0)
        works[COMPILED] = compiled
    except Exception as error:  # noqa: BLE001
        missing.append(f"{COMPILED}, training: {type(error).__name__}: {str(error)[:200]}")
    times, uncaptured = measure(works, inputs.count, ROUNDS)
    missing += [f"{name}, training: not captured into a graph" for name in uncaptured]
    return {
        "setting": str(setting),
        "us": {name: spread(values) for name, values in times.items()},
        "times_as_fast_as": {
            name: spread([b / a for a, b in zip(times[OURS], values, strict=True)])
            for name, values in times.items()
            if name != OURS
        },
    }


def calls(missing: list[str]) -> dict[str, Any]:
    """What the host spends on a call of one image, whichever way it is made."""
    setting = Setting(n=1, c=3, size=(64, 256), output=(32, 100), dtype=torch.float32)
    inputs = Inputs(setting)
    source, theta, basis = inputs.sources[0], inputs.thetas[0], inputs.basis
    eager = warp_of_torch(setting, basis)
    compiled = torch.compile(warp_of_torch(setting, basis), dynamic=False)
    works: dict[str, Work] = {
        "stn_deploy.plugins.operators": lambda index: fused(setting, source, basis, theta),
        EAGER: lambda index: eager(source, theta),
        COMPILED: lambda index: compiled(source, theta),
    }
    try:
        import cupy

        from stn_deploy.plugins import arrays

        given = [cupy.asarray(each) for each in (source, basis, theta)]
        works["stn_deploy.plugins.arrays, CuPy"] = lambda index: arrays.theta_grid_sample(
            *given, output_size=setting.output
        )
    except ImportError:
        missing.append("CuPy is not installed")
    found = {}
    with torch.no_grad():
        for name, work in works.items():
            try:
                found[name] = spread(host_time(work, rounds=ROUNDS))
            except Exception as error:  # noqa: BLE001
                missing.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    return found


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked of the kernel, and whether it is so; medians."""
    found = []

    def goal(what: str, value: float, reached: bool) -> None:
        found.append({"goal": what, "found": value, "reached": reached})

    for name, measured in result.items():
        if not name.endswith("bilinear") or " x 3x64x256" not in name:
            continue
        if name.startswith("4096"):
            share = measured["share_of_copy_bandwidth"]["median"]
            goal(f"{name}: at least 0.7 of the copy bandwidth", share, share >= 0.7)
            for rival, ratio in measured["times_as_fast_as"].items():
                least = 1.0 if rival == COMPILED else 3.0
                goal(
                    f"{name}: {least:.0f} times as fast as {rival}", ratio["median"], ratio["median"] >= least
                )
        else:
            above = measured["us_above_an_empty_launch"]["median"]
            goal(f"{name}: at most 5 us above an empty launch", above, above <= 5)
    return found


if __name__ == "__main__":
    main()
