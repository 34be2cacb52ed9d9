"""The Spatial Transformer as a module: alone, in parallel, at any depth, on volumes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stn_deploy.geometry import (
    AFFINE,
    AFFINE_3D,
    ATTENTION,
    PROJECTIVE,
    SIMILARITY,
    ThinPlateSpline,
    Transform,
    source_points,
)
from stn_deploy.stn import (
    BoundedDisplacement,
    BoundedPerspective,
    BoundedScale,
    ConvolutionalLocalisation,
    DepthProjection,
    FullyConnectedLocalisation,
    GridGenerator,
    LeNetLocalisation,
    ParallelSpatialTransformer,
    Sampler,
    SpatialTransformer,
    sample,
)
from tests.networks import alive, images
from tests.tolerances import POINT, SAMPLE
from tests.transforms import PLANE, TRANSFORMS

each_transform = pytest.mark.parametrize("transform", PLANE.values(), ids=PLANE)


def scattered(transform: Transform, items: int = 1, *, size: float = 0.1, seed: int = 0) -> np.ndarray:
    """Thetas around the identity, side by side."""
    noise = np.random.default_rng(seed).normal(0, size, (items, transform.parameters))
    return (transform.identity + noise).reshape(-1)


@each_transform
def test_an_untrained_transformer_changes_nothing(transform: Transform) -> None:
    localisation = FullyConnectedLocalisation((3, 7, 12), transform.identity)
    transformer = SpatialTransformer(localisation, transform, Sampler(), (7, 12))
    source = images(2, 3, 7, 12)
    assert (transformer(source) - source).abs().max() < SAMPLE


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_it_is_localisation_grid_generator_and_sampler(transform: Transform) -> None:
    flat = transform.dimensions == 2
    before, after = ((9, 6), (4, 11)) if flat else ((4, 9, 6), (3, 5, 2))
    mode = "bicubic" if flat else "trilinear"
    localisation = alive(FullyConnectedLocalisation((2, *before), transform.identity))
    transformer = SpatialTransformer(localisation, transform, Sampler(mode, "zeros"), after)
    source = images(3, 2, *before)
    theta = localisation(source)
    assert theta.std(dim=0).min() > 0
    expected = sample(source, GridGenerator(transform, after)(theta), mode=mode, padding="zeros")
    assert expected.shape == (3, 2, *after)
    assert torch.equal(transformer(source), expected)


@each_transform
def test_inspect_tells_theta_grid_and_source_corners(transform: Transform) -> None:
    localisation = alive(FullyConnectedLocalisation((2, 9, 6), transform.identity))
    transformer = SpatialTransformer(localisation, transform, Sampler(), (4, 11))
    source = images(3, 2, 9, 6)
    done = transformer.inspect(source)
    assert torch.equal(done.output, transformer(source))
    assert torch.equal(done.theta, localisation(source))
    assert done.theta.std(dim=0).min() > 0
    assert torch.equal(done.grid, transformer.grid_generator(done.theta))
    corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    expected = source_points(transform, done.theta.detach().double().numpy(), corners)
    assert np.abs(done.corners.double().numpy() - expected).max() < POINT


def test_the_constraint_stands_between_localisation_and_grid() -> None:
    constraint = nn.Sequential(
        BoundedScale(PROJECTIVE, 0.5, 2.0),
        BoundedDisplacement(PROJECTIVE, 0.3),
        BoundedPerspective(PROJECTIVE, 0.4),
    )
    wild = FullyConnectedLocalisation((1, 8, 9), scattered(PROJECTIVE, size=50.0))
    transformer = SpatialTransformer(wild, PROJECTIVE, Sampler(), (8, 9), constraint=constraint)
    source = images(2, 1, 8, 9)
    theta = transformer.theta(source)
    assert torch.equal(theta, constraint(wild(source)))
    assert transformer.grid_generator(theta).abs().max() < 2 * (2 * np.sqrt(2) + 0.3) / 0.6


@each_transform
def test_one_step_of_training_moves_theta_downhill(transform: Transform) -> None:
    torch.manual_seed(0)
    localisation = FullyConnectedLocalisation((1, 8, 13), scattered(transform))
    transformer = SpatialTransformer(localisation, transform, Sampler(), (8, 13))
    rows, columns = torch.arange(8.0)[:, None], torch.arange(13.0)
    source = torch.exp(-((rows - 3.1) ** 2 + (columns - 5.2) ** 2) / 20)[None, None]

    def loss() -> Tensor:
        return ((transformer(source) - source) ** 2).mean()

    before = loss()
    before.backward()
    with torch.no_grad():
        for parameter in transformer.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.02 * parameter.grad)
    assert localisation.last.bias.grad is not None
    assert localisation.last.bias.grad.abs().sum() > 0
    assert loss() < before


def test_parallel_transformers_are_stacked_by_channel() -> None:
    transforms: list[Transform] = [AFFINE, ATTENTION, AFFINE, ThinPlateSpline.on_edges(4)]
    networks = [
        alive(FullyConnectedLocalisation((2, 6, 9), transform.identity), seed=seed)
        for seed, transform in enumerate(transforms)
    ]
    parallel = ParallelSpatialTransformer(networks, transforms, Sampler(), (5, 4))
    source = images(3, 2, 6, 9)
    output = parallel(source)
    assert output.shape == (3, 8, 5, 4)
    for index, (network, transform) in enumerate(zip(networks, transforms, strict=True)):
        alone = SpatialTransformer(network, transform, Sampler(), (5, 4))
        assert torch.equal(output[:, 2 * index : 2 * index + 2], alone(source))
        assert torch.equal(parallel.inspect(source)[index].theta, alone.theta(source))


def test_the_networks_of_parallel_transformers_may_come_as_a_module_list() -> None:
    transforms = [AFFINE, SIMILARITY]
    networks = nn.ModuleList(
        alive(FullyConnectedLocalisation((2, 6, 9), transform.identity)) for transform in transforms
    )
    of_modules, of_list = (
        ParallelSpatialTransformer(given, transforms, Sampler(), (5, 4)) for given in (networks, [*networks])
    )
    source = images(3, 2, 6, 9)
    assert torch.equal(of_modules(source), of_list(source))
    assert of_modules.state_dict().keys() == of_list.state_dict().keys()


def test_parallel_transformers_may_share_their_localisation() -> None:
    transforms = [AFFINE, SIMILARITY]
    start = np.concatenate([transform.identity for transform in transforms])
    shared = alive(FullyConnectedLocalisation((2, 6, 9), start))
    bound = BoundedDisplacement(SIMILARITY, 0.01)
    parallel = ParallelSpatialTransformer(shared, transforms, Sampler(), (6, 9), constraints=[None, bound])
    source = images(2, 2, 6, 9)
    together = shared(source)
    first, second = parallel.inspect(source)
    assert torch.equal(first.theta, together[:, :6])
    assert torch.equal(second.theta, bound(together[:, 6:]))
    assert torch.equal(parallel(source), torch.cat([first.output, second.output], dim=1))
    assert len(list(parallel.parameters())) == len(list(shared.parameters()))


def test_transformers_stand_at_any_depth_of_a_network() -> None:
    """ST-CNN Multi: one before each convolution, the deeper ones on feature maps."""
    torch.manual_seed(0)
    multi = nn.Sequential(
        SpatialTransformer(
            ConvolutionalLocalisation((3, 24, 28), AFFINE.identity), AFFINE, Sampler(), (24, 28)
        ),
        *(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        SpatialTransformer(
            FullyConnectedLocalisation((8, 12, 14), AFFINE.identity), AFFINE, Sampler(), (12, 14)
        ),
        *(nn.Conv2d(8, 12, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        SpatialTransformer(
            FullyConnectedLocalisation((12, 6, 7), ATTENTION.identity), ATTENTION, Sampler(), (6, 7)
        ),
        *(nn.Flatten(), nn.Linear(12 * 6 * 7, 10)),
    )
    plain = nn.Sequential(*(layer for layer in multi if not isinstance(layer, SpatialTransformer)))
    source = images(2, 3, 24, 28).requires_grad_()
    assert (multi(source) - plain(source)).abs().max() < SAMPLE
    multi(source).square().sum().backward()
    for layer in multi:
        if isinstance(layer, SpatialTransformer):
            bias = dict(layer.localisation.named_parameters())["last.bias"]
            assert bias.grad is not None
            assert bias.grad.abs().min() > 0


def test_a_localisation_network_may_serve_several_transformers() -> None:
    shared = alive(LeNetLocalisation((1, 28, 28), AFFINE.identity))
    twice = nn.Sequential(
        *(SpatialTransformer(shared, AFFINE, Sampler(mode), (28, 28)) for mode in ("bilinear", "bicubic"))
    )
    source = images(2, 1, 28, 28)
    assert twice(source).shape == source.shape
    assert len(list(twice.parameters())) == len(list(shared.parameters()))


@pytest.mark.parametrize("mode", ["nearest", "trilinear"])
def test_an_untrained_transformer_leaves_a_volume_as_it_is(mode: str) -> None:
    localisation = FullyConnectedLocalisation((2, 3, 5, 7), AFFINE_3D.identity)
    transformer = SpatialTransformer(localisation, AFFINE_3D, Sampler(mode), (3, 5, 7))
    source = images(2, 2, 3, 5, 7)
    assert (transformer(source) - source).abs().max() < SAMPLE
    assert transformer.inspect(source).corners.shape == (2, 8, 3)


def test_a_projected_volume_is_seen_from_where_the_transformer_turns_it() -> None:
    """A quarter turn about the y axis, then the sum along the depth: the volume seen from the side."""
    quarter = [0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, 0]  # source x is target -z, source z is target x
    localisation = FullyConnectedLocalisation((2, 4, 5, 6), quarter)
    side_view = nn.Sequential(
        SpatialTransformer(localisation, AFFINE_3D, Sampler("trilinear"), (6, 5, 4)), DepthProjection()
    )
    source = images(3, 2, 4, 5, 6)
    expected = source.sum(dim=4).transpose(2, 3)  # (n, c, y, z)
    assert (side_view(source) - expected).abs().max() < 6 * SAMPLE


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_keeps_positions_in_float32(half: torch.dtype) -> None:
    localisation = FullyConnectedLocalisation((1, 5, 3000), AFFINE.identity)
    transformer = SpatialTransformer(localisation, AFFINE, Sampler(), (5, 3000))
    source = (torch.arange(3000) % 2).expand(1, 1, 5, 3000).float()
    with torch.autocast("cpu", dtype=half):
        done = transformer.inspect(source.to(half))
        assert done.theta.dtype == half
    assert done.grid.dtype == torch.float32
    assert done.output.dtype == half
    assert (done.output.float() - source).abs().max() < 0.01


@each_transform
def test_a_batch_equals_its_items(transform: Transform) -> None:
    localisation = alive(FullyConnectedLocalisation((2, 6, 9), transform.identity))
    transformer = SpatialTransformer(localisation, transform, Sampler(), (5, 4))
    source = images(5, 2, 6, 9)
    together = transformer(source)
    for index in range(5):
        assert (transformer(source[index : index + 1])[0] - together[index]).abs().max() < SAMPLE
    assert transformer(source[:0]).shape == (0, 2, 5, 4)
    assert transformer.inspect(source[:0]).corners.shape == (0, 4, 2)


def test_only_the_localisation_is_saved_and_a_copy_is_the_same() -> None:
    localisation = alive(FullyConnectedLocalisation((2, 6, 9), AFFINE.identity))
    constraint = BoundedScale(AFFINE, 0.5, 2.0)
    transformer = SpatialTransformer(localisation, AFFINE, Sampler(), (5, 4), constraint=constraint)
    assert all(name.startswith("localisation.") for name in transformer.state_dict())
    other = SpatialTransformer(
        FullyConnectedLocalisation((2, 6, 9), [0.0] * 6), AFFINE, Sampler(), (5, 4), constraint=constraint
    )
    other.load_state_dict(transformer.state_dict())
    source = images(2, 2, 6, 9)
    assert torch.equal(other(source), transformer(source))
    assert torch.equal(copy.deepcopy(transformer)(source), transformer(source))
