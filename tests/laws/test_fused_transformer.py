"""A Spatial Transformer on the fused operators is the same one: numbers, gradients and weights."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from stn_deploy.errors import ArgumentError
from stn_deploy.export import export_network
from stn_deploy.geometry import Transform
from stn_deploy.plugins.operators import FusedSpatialTransformer, warp
from stn_deploy.stn import (
    BoundedScale,
    FullyConnectedLocalisation,
    GridGenerator,
    Sampler,
    SpatialTransformer,
)
from tests.networks import alive, images
from tests.tolerances import SAMPLE
from tests.transforms import MATRICES, TRANSFORMS

pytestmark = pytest.mark.usefixtures("one_thread")

each_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)


def transformer_of(transform: Transform, sampler: Sampler | None = None) -> SpatialTransformer:
    """One that moves, (2, 9, 6) -> (4, 11), or (2, 4, 9, 6) -> (3, 5, 2)."""
    flat = transform.dimensions == 2
    before, after = ((9, 6), (4, 11)) if flat else ((4, 9, 6), (3, 5, 2))
    chosen = sampler or Sampler("bicubic" if flat else "trilinear", "zeros")
    localisation = alive(FullyConnectedLocalisation((2, *before), transform.identity))
    return SpatialTransformer(localisation, transform, chosen, after)


def source_of(transformer: SpatialTransformer | FusedSpatialTransformer) -> torch.Tensor:
    return images(3, 2, *((9, 6) if transformer.grid_generator.transform.dimensions == 2 else (4, 9, 6)))


@each_transform
def test_a_fused_transformer_computes_the_same(transform: Transform) -> None:
    transformer = transformer_of(transform)
    source = source_of(transformer)
    expected = transformer(source)
    assert expected.std() > 0.05
    assert (FusedSpatialTransformer(transformer)(source) - expected).abs().max() < SAMPLE


@each_transform
def test_a_fused_transformer_learns_the_same(transform: Transform) -> None:
    transformer = transformer_of(transform)
    twin = copy.deepcopy(transformer)
    source = source_of(transformer)
    found = []
    for each in (FusedSpatialTransformer(transformer), twin):
        inputs = source.clone().requires_grad_()
        each(inputs).sin().sum().backward()
        found.append([inputs.grad, *(parameter.grad for parameter in each.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@each_transform
def test_checkpoints_of_either_load_into_the_other(transform: Transform) -> None:
    transformer, other = transformer_of(transform), transformer_of(transform)
    fused = FusedSpatialTransformer(transformer)
    other.load_state_dict(fused.state_dict())
    assert torch.equal(other(source_of(other)), transformer(source_of(other)))


def test_a_fused_transformer_is_exported_as_the_same_node(tmp_path: Path) -> None:
    transformer = transformer_of(TRANSFORMS["spline on edges"]).eval()
    fused, source = FusedSpatialTransformer(transformer), source_of(transformer)
    found = []
    for name, network in (("fused", fused), ("plain", transformer)):
        path = tmp_path / f"{name}.onnx"
        export_network(network, source, path, input_names=["U"])
        model = onnx.load(path)
        assert [node.op_type for node in model.graph.node].count("ThetaGridSample") == 1
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found.append(session.run(None, {"U": source.numpy()})[0])
    assert np.array_equal(*found)
    assert np.abs(found[0] - fused(source).detach().numpy()).max() < SAMPLE


def test_a_fused_transformer_keeps_its_constraint() -> None:
    transform = MATRICES["affine"]
    plain = transformer_of(transform)
    bounded = SpatialTransformer(
        plain.localisation, transform, plain.sampler, (4, 11), constraint=BoundedScale(transform, 0.9, 1.1)
    )
    source = source_of(plain)
    fused = FusedSpatialTransformer(bounded)
    assert torch.equal(fused.theta(source), bounded.constraint(plain.localisation(source)))
    assert (fused(source) - bounded(source)).abs().max() < SAMPLE
    assert (fused(source) - plain(source)).abs().max() > SAMPLE


def test_a_warp_is_grid_generator_and_sampler() -> None:
    transform = TRANSFORMS["spline on edges"]
    grid_generator, sampler = GridGenerator(transform, (4, 11)), Sampler("nearest", "reflection")
    theta = torch.tensor(transform.identity, dtype=torch.float32).expand(3, -1) * 1.3 + 0.07
    source = images(3, 2, 9, 6)
    expected = sampler(source, grid_generator(theta))
    assert (warp(source, theta, grid_generator, sampler) - expected).abs().max() < SAMPLE


def test_antialias_is_refused() -> None:
    smooth = Sampler(antialias=True)
    with pytest.raises(ArgumentError, match="expected a sampler with antialias=False, got True"):
        FusedSpatialTransformer(transformer_of(TRANSFORMS["affine"], smooth))
    grid_generator = GridGenerator(TRANSFORMS["affine"], (4, 11))
    with pytest.raises(ArgumentError, match="sampler: expected antialias=False"):
        warp(images(1, 2, 9, 6), torch.zeros(1, 6), grid_generator, smooth)


def test_what_is_no_transformer_is_refused() -> None:
    with pytest.raises(ArgumentError, match="transformer: expected a SpatialTransformer, got Sampler"):
        FusedSpatialTransformer(Sampler())  # type: ignore[arg-type]


@each_transform
def test_a_compiled_and_an_exported_fused_transformer_compute_the_same(transform: Transform) -> None:
    fused = FusedSpatialTransformer(transformer_of(transform))
    source = source_of(fused)
    expected = fused(source)
    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    assert (compiled(source) - expected).abs().max() < SAMPLE
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(fused, (source,), dynamic_shapes=({0: batch},), strict=False)
    assert "stn_deploy.theta_grid_sample" in exported.graph_module.code
    more = torch.cat([source, source.flip(0)])
    assert (exported.module()(more) - fused(more)).abs().max() < SAMPLE
