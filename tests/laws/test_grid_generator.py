"""grid = basis @ coefficients(theta), alone and in a batch."""

from __future__ import annotations

import copy
import pickle

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stn_deploy.geometry import AFFINE, AFFINE_3D, PROJECTIVE, ThinPlateSpline, Transform, source_grid
from stn_deploy.stn import GridGenerator, sample
from tests.grids import error, expected_grid, make
from tests.tolerances import FLOAT64, OPENCV_SAMPLE, POINT
from tests.transforms import MATRICES, TRANSFORMS, as_batch, random_theta

SIZES: dict[int, list[tuple[int, ...]]] = {2: [(1, 5), (7, 13), (48, 20)], 3: [(1, 2, 3), (4, 9, 5)]}

each_transform = pytest.mark.parametrize("name", TRANSFORMS)


@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name, each in TRANSFORMS.items() for size in SIZES[each.dimensions]]
)
def test_the_grid_is_that_of_the_readable_reference(name: str, size: tuple[int, ...]) -> None:
    transform = TRANSFORMS[name]
    theta = as_batch(random_theta(transform, 3))
    grid = GridGenerator(transform, size)(theta)
    assert grid.dtype == torch.float32
    assert grid.shape == (3, *size, transform.dimensions)
    assert error(grid, source_grid(transform, theta.double().numpy(), size)) < POINT


@pytest.mark.parametrize("size", SIZES[2] + SIZES[3], ids=str)
def test_the_affine_grid_is_that_of_torch(size: tuple[int, ...]) -> None:
    transform: Transform = (AFFINE, AFFINE_3D)[len(size) - 2]
    theta = as_batch(random_theta(transform, 3, spread=1.5))
    expected = F.affine_grid(theta.reshape(3, len(size), -1), [3, 1, *size], align_corners=False)
    assert error(GridGenerator(transform, size)(theta), expected.double().numpy()) < POINT


@pytest.mark.parametrize("aspect", [1.0, 0.15])
def test_a_spline_in_a_frame_of_its_own_keeps_it(aspect: float) -> None:
    grid_generator = GridGenerator(ThinPlateSpline.on_edges(14, kernel_aspect=aspect), (7, 13))
    theta = as_batch(random_theta(grid_generator.transform, 2))
    assert error(grid_generator(theta), expected_grid(grid_generator, theta)) < POINT


@pytest.mark.parametrize("name", MATRICES)
def test_the_coefficients_of_a_matrix_transform_are_its_matrix(name: str) -> None:
    grid_generator, theta = make(name)
    coefficients = grid_generator.coefficients(theta)
    assert np.array_equal(coefficients.double().numpy(), MATRICES[name].matrix(theta.double().numpy()))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [((23, 37), (31, 18)), ((40, 16), (9, 50))], ids=str)
def test_the_projective_grid_samples_as_opencv_warps(sizes: tuple, seed: int) -> None:
    """OpenCV's matrix counts pixel centres from 0, ours has -1 and 1 at the edges."""
    (height, width), (rows, columns) = sizes
    theta = random_theta(PROJECTIVE, seed=seed, spread=0.15) * [0.7, 1, 1, 1, 0.7, 1, 1, 1]
    source = np.random.default_rng(seed).random((height, width), np.float32)
    target_from_pixel = np.array(
        [[2 / columns, 0, 1 / columns - 1], [0, 2 / rows, 1 / rows - 1], [0, 0, 1]], np.float64
    )
    pixel_from_source = np.array(
        [[width / 2, 0, width / 2 - 0.5], [0, height / 2, height / 2 - 0.5], [0, 0, 1]], np.float64
    )
    expected = cv2.warpPerspective(
        source,
        pixel_from_source @ PROJECTIVE.matrix(theta) @ target_from_pixel,
        (columns, rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    grid = GridGenerator(PROJECTIVE, (rows, columns))(as_batch(theta))
    inner = (np.abs(grid[0].numpy()) < 1 - 1 / np.array([width, height])).all(axis=-1)
    assert inner.mean() > 0.8
    warped = sample(torch.tensor(source)[None, None], grid)[0, 0].numpy()
    assert np.abs(warped - expected)[inner].max() < OPENCV_SAMPLE


def test_where_the_divisor_is_zero_there_is_no_point_and_theta_still_has_gradients() -> None:
    grid_generator = GridGenerator(PROJECTIVE, (3, 2))  # target x is -0.5 and 0.5
    theta = as_batch([[1, 0, 0.1, 0, 1, -0.2, -2, 0], [1, 0.1, 0, 0, 1, 0, 0.1, 0]]).requires_grad_()
    source = torch.rand(2, 3, 6, 9, generator=torch.Generator().manual_seed(0)) + 1
    source.requires_grad_()
    grid = grid_generator(theta)
    nowhere = ~grid.isfinite().all(dim=-1)
    assert nowhere[0].tolist() == [[False, True]] * 3
    assert not nowhere[1].any()
    transformed = sample(source, grid)
    assert not transformed[0, :, :, 1].any()
    assert transformed[0, :, :, 0].all()
    transformed.square().sum().backward()
    for leaf in (theta, source):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
    assert theta.grad is not None
    assert theta.grad[1].any()


def test_a_theta_that_is_not_finite_spoils_no_other_item() -> None:
    grid_generator, theta = make("projective")
    expected = grid_generator(theta)
    theta[1, 6] = torch.nan
    grid = grid_generator(theta)
    assert torch.equal(grid[0::2], expected[0::2])
    assert not grid[1].isfinite().all(dim=-1).any()


@pytest.mark.parametrize("items", [0, 1, 5])
@each_transform
def test_a_batch_equals_its_items(name: str, items: int) -> None:
    grid_generator, _ = make(name)
    transform = grid_generator.transform
    theta = as_batch(random_theta(transform, items))
    together = grid_generator(theta)
    assert together.shape == (items, *grid_generator.output_size, transform.dimensions)
    for item, expected in zip(theta, together, strict=True):
        assert (grid_generator(item[None])[0] - expected).abs().max() < POINT


@each_transform
def test_an_empty_batch_has_gradients_of_its_shape(name: str) -> None:
    grid_generator, theta = make(name)
    none = theta[:0].clone().requires_grad_()
    grid_generator(none).sum().backward()
    assert none.grad is not None
    assert none.grad.shape == none.shape


@each_transform
def test_the_constants_move_with_the_module_and_are_not_saved_with_it(name: str) -> None:
    grid_generator, theta = make(name)
    assert {buffer.device.type for buffer in copy.deepcopy(grid_generator).to("meta").buffers()} == {"meta"}
    assert not grid_generator.state_dict()
    assert not list(grid_generator.parameters())
    grid_generator.load_state_dict({})
    assert grid_generator(theta).isfinite().all()


@each_transform
def test_a_copy_works_like_the_original(name: str) -> None:
    grid_generator, theta = make(name)
    for twin in (copy.deepcopy(grid_generator), pickle.loads(pickle.dumps(grid_generator))):
        assert twin.output_size == grid_generator.output_size
        assert torch.equal(twin(theta), grid_generator(theta))
        assert error(twin.double()(theta.double()), expected_grid(twin, theta)) < FLOAT64
        assert not twin.state_dict()
    assert grid_generator.basis.dtype == torch.float32


@each_transform
def test_gradients_of_theta_are_right(name: str) -> None:
    grid_generator, theta = make(name)
    assert torch.autograd.gradcheck(grid_generator.double(), (theta.double().requires_grad_(),))
