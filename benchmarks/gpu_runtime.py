"""Decoded crops -> straightened crops on a GPU, copies included, beside the same network in torch eager."""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from _gpu import described, need_gpu
from _record import keep, skip, spread
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from stn_deploy.artifact import read_artifact
from stn_deploy.errors import StnDeployError
from stn_deploy.export.graph import RectifierGraph
from stn_deploy.export.reload import rectifier_from_artifact
from stn_deploy.export.verification import verification_images
from stn_deploy.runtime import DEFAULT_MODEL, pack_canvas
from stn_deploy.runtime.engines.buckets import Batch
from stn_deploy.runtime.engines.choice import EngineChoice
from stn_deploy.runtime.engines.gpu import GpuRectifierEngine
from stn_deploy.runtime.engines.ort import OrtFullGraph
from stn_deploy.runtime.engines.start import start

COUNTS = (1, 16, 256)
ROUNDS, WARM_UP, CALLS = 30, 6, 64
CUDA, TENSORRT = "stn-deploy, CUDA in ONNX Runtime", "stn-deploy, TensorRT"
EAGER, SAME = "torch eager, one canvas", "torch eager, our canvases"
STAY = ", results stay on the GPU"
ALLOWED = 1 / 255 * 2  # of a scale of 2: rectified is (pixel - 127.5) / 127.5

Image = NDArray[np.uint8]
Call = Callable[[Sequence[Image]], Any]


class InTorch:
    """The network in torch on the GPU: thumbnail, localisation, grid and sample, operator by operator."""

    def __init__(self) -> None:
        """Load what the shipped file was exported from."""
        rectifier = rectifier_from_artifact(DEFAULT_MODEL)
        self._graph = RectifierGraph(rectifier, rectifier.spec.output_size).cuda().eval()
        self._lengths: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, images: Tensor, extents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images (n, H, W, 3) uint8 and extents (n, 2) on the GPU -> rectified, theta, score."""
        size = tuple(images.shape[1:3])
        if size not in self._lengths:
            self._lengths[size] = torch.tensor(size, dtype=torch.float32, device="cuda")
        with torch.inference_mode(), torch.device("cuda"):
            canvas = images.permute(0, 3, 1, 2).to(torch.float32)
            sizes = extents * self._lengths[size]
            thumbnails = self._graph._thumbnails(canvas, extents, sizes)
            theta, score, _ = self._graph.rectifier(thumbnails, sizes)
            return self._graph._sampled(canvas, theta, extents), theta, score

    def straighten(self, images: Sequence[Image], *, stay: bool = False) -> Any:
        """All images on the smallest canvas that holds them."""
        packed, extents = pack_canvas(images)
        found = self(torch.from_numpy(packed).cuda(), torch.from_numpy(extents).cuda())
        return found if stay else [each.cpu().numpy() for each in found]

    def straighten_as(
        self, plan: Callable[[Sequence[Image]], Sequence[Batch]], images: Sequence[Image]
    ) -> Any:
        """The batches of our engine, one after the other."""
        found = []
        for batch in plan(images):
            chosen = [images[place] for place in batch.places]
            packed, extents = pack_canvas(chosen, canvas=batch.canvas)
            results = self(torch.from_numpy(packed).cuda(), torch.from_numpy(extents).cuda())
            found.append([each.cpu().numpy() for each in results])
        return found


def main() -> None:
    """Each number of images; candidates take turns, so that a change of clocks slows all alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, action="append", help="images of a call, for a trial not kept")
    counts = parser.parse_args().count
    need_gpu()
    missing: list[str] = []
    with ExitStack() as stack:
        engines = started(stack, missing)
        if not engines:
            skip("; ".join(missing))
        network = InTorch()
        result: dict[str, Any] = {"gpu": described(), "missing": missing, "calls_of": {}}
        for count in counts or COUNTS:
            images = (verification_images(64, seed=1) * -(-count // 64))[:count]
            print(f"-- {count} images", flush=True)
            result["calls_of"][str(count)] = compare(engines, network, images)
            result["goals"] = goals(result["calls_of"])
            result["uncaptured"] = {name: engine.uncaptured for name, engine in engines.items()}
            keep("gpu_runtime", result, trial=counts is not None, last=False)
    keep("gpu_runtime", result, trial=counts is not None)


def started(stack: ExitStack, missing: list[str]) -> dict[str, GpuRectifierEngine]:
    """The engines that are here; what is not is named."""
    data, spec = read_artifact(DEFAULT_MODEL)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    choices = {
        CUDA: lambda: EngineChoice(kind="cuda", reason="measured"),
        TENSORRT: lambda: EngineChoice(kind="tensorrt", reason="measured", file=built(folder)),
    }
    found = {}
    for name, choose in choices.items():
        try:
            found[name] = stack.enter_context(start(choose(), data, spec))
        except StnDeployError as error:
            missing.append(f"{name}: {error}")
    return found


def built(folder: Path) -> Path:
    """An engine of the shipped model for this GPU, of TensorRT or else TensorRT-RTX."""
    from stn_deploy.export.engine import BuildSettings, build_engine

    path = folder / "rectifier.engine"
    build_engine(DEFAULT_MODEL, path, BuildSettings())
    return path


def compare(
    engines: Mapping[str, GpuRectifierEngine], network: InTorch, images: list[Image]
) -> dict[str, Any]:
    """Milliseconds of a call from arrays to arrays, of each candidate; each has shown that it is right."""
    works: dict[str, Call] = {}
    for name, engine in engines.items():
        works[name] = engine.straighten
        works[name + STAY] = partial(on_device, engine)
    plan = partial(planned, next(iter(engines.values())))
    works[EAGER] = network.straighten
    works[SAME] = partial(network.straighten_as, plan)
    works[EAGER + STAY] = partial(eager_on_device, network)
    expect_same(engines, network, images)
    calls = max(1, CALLS // len(images))
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(WARM_UP + ROUNDS):
        for name, work in works.items():
            torch.cuda.synchronize()
            started_at = perf_counter()
            for _ in range(calls):
                work(images)
            if number >= WARM_UP:
                times[name].append(1e3 * (perf_counter() - started_at) / calls)
        gc.collect()
    found: dict[str, Any] = {
        "ms": {name: spread(values) for name, values in times.items()},
        "times_as_fast_as": {
            name: {
                rival: spread([b / a for a, b in zip(times[name], times[rival], strict=True)])
                for rival in ([EAGER + STAY] if name.endswith(STAY) else [EAGER, SAME])
            }
            for name in works
            if not name.startswith("torch")
        },
        "parts": {name: parts(engine, images) for name, engine in engines.items()},
        "batches": [described_batch(batch) for batch in plan(images)],
        "mean_crop_pixels": float(np.mean([image.shape[0] * image.shape[1] for image in images])),
    }
    for name, values in found["ms"].items():
        print(f"   {name}: {values['median']:.3f} ms", flush=True)
    return found


def on_device(engine: GpuRectifierEngine, images: Sequence[Image]) -> None:
    """Until a consumer on torch's stream could read the results."""
    with engine.straighten_on_device(images) as batch:
        found = from_dlpack(batch.rectified)
    torch.cuda.current_stream().synchronize()
    del found


def eager_on_device(network: InTorch, images: Sequence[Image]) -> None:
    network.straighten(images, stay=True)
    torch.cuda.current_stream().synchronize()


def planned(engine: GpuRectifierEngine, images: Sequence[Image]) -> list[Batch]:
    return engine._buckets.plan((image.shape[0], image.shape[1]) for image in images)


def described_batch(batch: Batch) -> dict[str, Any]:
    """A batch as it is kept."""
    return {"canvas": list(batch.canvas), "size": batch.size, "images": len(batch.places)}


def expect_same(engines: Mapping[str, GpuRectifierEngine], network: InTorch, images: Sequence[Image]) -> None:
    """All candidates give what the full graph gives on the CPU."""
    some = list(images[:8])
    on_cpu = OrtFullGraph(DEFAULT_MODEL.read_bytes())
    expected = np.concatenate([on_cpu.run(*pack_canvas([image]))[0] for image in some])
    rivals: dict[str, Any] = {EAGER: network.straighten(some)[0]}
    rivals |= {name: engine.straighten(some).rectified for name, engine in engines.items()}
    for name, found in rivals.items():
        difference = float(np.abs(found - expected).max())
        assert difference <= ALLOWED, f"{name} is not the same rectifier: {difference}"


def parts(engine: GpuRectifierEngine, images: Sequence[Image]) -> dict[str, Any]:
    """Milliseconds of each part of a call, all batches together, one part after the other: nothing overlaps.

    Packing by the clock of the host, the others by events on the GPU.
    """
    device, runner = engine._device, engine._runner
    slot = runner._slots[0]
    names = ("copy in", "graph", "copy out")
    times: dict[str, list[float]] = {name: [] for name in ("pack", *names)}
    sizes = {"in": 0, "out": 0}
    batches = planned(engine, images)
    with engine._in_turn():
        first, last = marks = [device.event(timing=True) for _ in range(2)]
        for number in range(WARM_UP + ROUNDS):
            spent = dict.fromkeys(times, 0.0)
            sizes = {"in": 0, "out": 0}
            for batch in batches:
                started_at = perf_counter()
                chosen = [images[place] for place in batch.places]
                device.wait(slot.done)
                slot.fill(batch, chosen, engine._stream)
                spent["pack"] += 1e3 * (perf_counter() - started_at)
                device.wait_stream(engine._stream)
                works: list[Callable[[], None]] = [
                    partial(upload_again, engine, slot, batch),
                    partial(
                        runner.launches.launch,
                        (0, batch.size, batch.canvas),
                        partial(slot.addresses, batch.size),
                    ),
                    partial(slot.fetch, batch.size, engine._stream, rectified=True),
                ]
                for name, work in zip(names, works, strict=True):
                    device.record(first, engine._stream)
                    work()
                    device.record(last, engine._stream)
                    device.wait(last)
                    spent[name] += device.milliseconds(first, last)
                sizes["in"] += batch.size * batch.canvas[0] * batch.canvas[1] * 3
                sizes["out"] += sum(values.nbytes for values in slot.results(batch).values())
            if number >= WARM_UP:
                for name, value in spent.items():
                    times[name].append(value)
        for mark in marks:
            device.free("event", mark)
    return {"ms": {name: spread(values) for name, values in times.items()}, "bytes": sizes}


def upload_again(engine: GpuRectifierEngine, slot: Any, batch: Batch) -> None:
    """The copy alone of what is packed."""
    pixels = batch.size * batch.canvas[0] * batch.canvas[1] * 3
    engine._device.upload(slot._input_address, slot._input[: slot._header + pixels], engine._stream)


def goals(calls: Mapping[str, Any]) -> list[dict[str, Any]]:
    """At least twice as fast as torch, by the median."""
    return [
        {
            "goal": f"{count} images, {name}: 2 times as fast as {rival}",
            "found": ratio["median"],
            "reached": ratio["median"] >= 2,
        }
        for count, measured in calls.items()
        for name, rivals in measured["times_as_fast_as"].items()
        for rival, ratio in rivals.items()
    ]


if __name__ == "__main__":
    main()
