"""Traced, compiled, exported and on a GPU a Spatial Transformer gives what it gives in plain Python."""

from __future__ import annotations

import copy
import shutil
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stn_deploy.geometry import AFFINE, AFFINE_3D, PROJECTIVE, SIMILARITY, ThinPlateSpline, Transform
from stn_deploy.stn import (
    BoundedDisplacement,
    BoundedScale,
    DepthProjection,
    FullyConnectedLocalisation,
    ParallelSpatialTransformer,
    Sampler,
    SpatialTransformer,
)
from tests.networks import alive, images
from tests.tolerances import SAMPLE


def traced_cases() -> list[tuple[str, nn.Module, Tensor]]:
    kinds: list[Transform] = [AFFINE, PROJECTIVE, ThinPlateSpline.on_edges(6)]
    plain = [
        (f"{transform.name} {mode}", transform, Sampler(mode, padding))
        for transform, (mode, padding) in product(
            kinds,
            (("nearest", "border"), ("bilinear", "reflection"), ("bicubic", "zeros")),
        )
    ]
    plain.append(("antialias", SIMILARITY, Sampler(antialias=True)))
    cases: list[tuple[str, nn.Module, Tensor]] = []
    for name, transform, sampler in plain:
        network = alive(FullyConnectedLocalisation((2, 12, 20), transform.identity))
        cases.append((name, SpatialTransformer(network, transform, sampler, (5, 4)), images(3, 2, 12, 20)))
    bounded = nn.Sequential(BoundedScale(AFFINE, 0.5, 2), BoundedDisplacement(AFFINE, 1))
    network = alive(FullyConnectedLocalisation((2, 12, 20), np.tile(AFFINE.identity, 2)))
    parallel = ParallelSpatialTransformer(
        network, [AFFINE, AFFINE], Sampler(), (5, 4), constraints=[bounded, None]
    )
    cases.append(("parallel, bounded", parallel, images(3, 2, 12, 20)))
    deep = alive(FullyConnectedLocalisation((1, 4, 6, 5), AFFINE_3D.identity))
    volume = SpatialTransformer(deep, AFFINE_3D, Sampler("trilinear"), (3, 4, 2))
    cases.append(("volume", nn.Sequential(volume, DepthProjection()), images(3, 1, 4, 6, 5)))
    return cases


each_traced = pytest.mark.parametrize(
    ("transformer", "source"), [pytest.param(*case[1:], id=case[0]) for case in traced_cases()]
)


@each_traced
def test_compiled_it_is_one_graph_with_the_same_output_and_gradients(
    transformer: nn.Module, source: Tensor
) -> None:
    torch.compiler.reset()
    compiled = torch.compile(transformer, backend="aot_eager", fullgraph=True)
    results = []
    for module in (transformer, compiled):
        transformer.zero_grad()
        given = source.clone().requires_grad_()
        output = module(given)
        output.square().sum().backward()
        assert given.grad is not None
        gradients = [parameter.grad for parameter in transformer.parameters() if parameter.grad is not None]
        results.append([output.detach(), given.grad, *(gradient.clone() for gradient in gradients)])
    for eager, traced in zip(*results, strict=True):
        assert (eager - traced).abs().max() <= SAMPLE * (1 + eager.abs().max())


@each_traced
def test_exported_it_takes_any_batch(transformer: nn.Module, source: Tensor) -> None:
    program = torch.export.export(
        transformer.eval(), (source,), dynamic_shapes=({0: torch.export.Dim("n", min=1)},)
    )
    for items in (1, 3, 4):
        batch = source[:1].expand(items, *source.shape[1:]) * torch.rand(items).reshape(
            -1, *([1] * (source.ndim - 1))
        )
        assert (program.module()(batch) - transformer(batch)).abs().max() < SAMPLE


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler (g++)")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, within its compiler
def test_compiled_to_machine_code_it_gives_the_same() -> None:
    torch.compiler.reset()
    network = alive(FullyConnectedLocalisation((3, 12, 20), ThinPlateSpline.on_edges(20).identity))
    transformer = SpatialTransformer(network, ThinPlateSpline.on_edges(20), Sampler(), (8, 25))
    source = images(2, 3, 12, 20)
    compiled = torch.compile(transformer, fullgraph=True)
    with torch.no_grad():
        assert (compiled(source) - transformer(source)).abs().max() < SAMPLE


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@each_traced
def test_on_a_gpu_it_gives_the_same(transformer: nn.Module, source: Tensor) -> None:
    expected = transformer(source)
    on_gpu = copy.deepcopy(transformer).cuda()
    assert (on_gpu(source.cuda()).cpu() - expected).abs().max() < SAMPLE
