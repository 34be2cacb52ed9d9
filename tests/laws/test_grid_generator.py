"""grid = basis @ coefficients(theta), in float32 or better, whatever surrounds it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import AFFINE, AFFINE_3D, PROJECTIVE, ThinPlateSpline, Transform, source_grid
from stn_deploy.stn import GridGenerator, sample
from tests.tolerances import FLOAT64, OPENCV_SAMPLE, POINT
from tests.transforms import MATRICES, TRANSFORMS, as_batch, random_theta

SIZES: dict[int, list[tuple[int, ...]]] = {2: [(1, 5), (7, 13), (48, 20)], 3: [(1, 2, 3), (4, 9, 5)]}
FIXED: dict[int, tuple[int, ...]] = {2: (5, 9), 3: (2, 4, 5)}

each_transform = pytest.mark.parametrize("name", TRANSFORMS)
each_half = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)


def make(name: str) -> tuple[GridGenerator, Tensor]:
    """A grid generator and three thetas for it."""
    transform = TRANSFORMS[name]
    return GridGenerator(transform, FIXED[transform.dimensions]), as_batch(random_theta(transform, 3))


def expected_grid(grid_generator: GridGenerator, theta: Tensor) -> np.ndarray:
    return source_grid(grid_generator.transform, theta.double().numpy(), grid_generator.output_size)


def error(grid: Tensor, expected: np.ndarray) -> float:
    """Against the size of the numbers, for a spline may reach beyond V and a divisor magnify."""
    return float(np.abs(grid.double().numpy() - expected).max() / max(1.0, np.abs(expected).max()))


@pytest.fixture
def precision() -> Iterator[None]:
    """The setting of float32 products, put back afterwards."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


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


# What surrounds it.


@each_transform
def test_autocast_leaves_the_grid_in_float32(name: str) -> None:
    grid_generator, theta = make(name)
    expected = grid_generator(theta)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        grid = grid_generator(theta)
    assert grid.dtype == torch.float32
    assert torch.equal(grid, expected)


@each_half
@each_transform
def test_a_theta_in_half_precision_makes_a_float32_grid(name: str, half: torch.dtype) -> None:
    grid_generator, theta = make(name)
    grid = grid_generator(theta.to(half))
    assert grid.dtype == torch.float32
    assert torch.equal(grid, grid_generator(theta.to(half).float()))


@each_half
@each_transform
def test_a_grid_generator_stays_in_float32_when_its_network_goes_to_half(
    name: str, half: torch.dtype
) -> None:
    grid_generator, theta = make(name)
    expected = grid_generator(theta)
    nn.Sequential(grid_generator).to(half)
    assert {buffer.dtype for buffer in grid_generator.buffers()} == {torch.float32}
    assert torch.equal(grid_generator(theta), expected)


@each_transform
def test_in_float64_the_grid_is_exact(name: str) -> None:
    grid_generator, theta = make(name)
    grid_generator.double()
    grid = grid_generator(theta.double())
    assert grid.dtype == torch.float64
    assert error(grid, expected_grid(grid_generator, theta)) < FLOAT64


@each_transform
def test_float64_and_back_is_as_before(name: str) -> None:
    grid_generator, theta = make(name)
    expected = grid_generator(theta)
    for there_and_back in (lambda: grid_generator.double().float(), lambda: grid_generator.double().half()):
        assert torch.equal(there_and_back()(theta), expected)


@pytest.mark.usefixtures("precision")
@pytest.mark.parametrize("setting", ["medium", "high"])
@each_transform
def test_faster_products_of_float32_leave_the_grid_as_it_is(name: str, setting: str) -> None:
    grid_generator, theta = make(name)
    torch.set_float32_matmul_precision(setting)
    grid = grid_generator(theta)
    assert grid.dtype == torch.float32
    assert error(grid, expected_grid(grid_generator, theta)) < POINT


class Products(TorchDispatchMode):
    """Notes the types in which matrices are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("mm", "addmm", "bmm", "baddbmm"):
            self.types.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("precision")
@each_transform
def test_where_products_of_float32_are_reduced_none_is_taken_in_float32(name: str) -> None:
    """Few processors reduce small products, GPUs reduce all: what they would do cannot be seen in the numbers
    of every machine."""
    grid_generator, theta = make(name)
    theta.requires_grad_()
    torch.set_float32_matmul_precision("medium")
    with Products() as products:
        grid_generator(theta).sum().backward()
    assert products.types == {torch.float64}


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="needs torch 2.9")
@pytest.mark.parametrize("backend", ["cuda", "mkldnn"])
def test_the_setting_of_one_backend_leaves_the_grid_as_it_is(backend: str) -> None:
    """torch refuses to say its one setting where backends have their own."""
    grid_generator, theta = make("spline on edges")
    setting = getattr(torch.backends, backend).matmul
    before = setting.fp32_precision
    setting.fp32_precision = "tf32"
    try:
        grid = grid_generator(theta)
    finally:
        setting.fp32_precision = before
    assert error(grid, expected_grid(grid_generator, theta)) < POINT


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


# What is refused.


@each_transform
def test_a_theta_of_another_shape_is_refused(name: str) -> None:
    grid_generator, _ = make(name)
    p = grid_generator.transform.parameters
    for shape in ((p,), (2, p + 1), (2, 1)):
        with pytest.raises(ShapeError, match=rf"theta: expected \(n, {p}\) for .*, got \("):
            grid_generator(torch.zeros(shape))


def test_a_theta_that_was_not_flattened_is_refused_with_the_remedy() -> None:
    grid_generator, _ = make("affine")
    with pytest.raises(ShapeError, match=r"got \(3, 2, 3\); flatten it with theta\.flatten\(1\)"):
        grid_generator(torch.zeros(3, 2, 3))


def test_a_theta_of_another_type_is_refused() -> None:
    grid_generator, theta = make("attention")
    for wrong in (theta.double(), theta.long()):
        with pytest.raises(ArgumentError, match=rf"theta: expected torch\.float32 .*, got {wrong.dtype}"):
            grid_generator(wrong)
    with pytest.raises(ArgumentError, match=r"theta: expected torch\.float64 .*, got torch\.float32"):
        grid_generator.double()(theta)


def test_a_theta_on_another_device_is_refused() -> None:
    grid_generator, theta = make("attention")
    with pytest.raises(ArgumentError, match="theta: expected a tensor on cpu .*, got one on meta"):
        grid_generator(theta.to("meta"))


@pytest.mark.parametrize("size", [(0, 5), (5,), (3.0, 4.0), (4, 5, 6), 7], ids=str)
def test_an_output_size_that_does_not_fit_the_transform_is_refused(size: object) -> None:
    with pytest.raises(ArgumentError, match=r"output_size: expected \(height, width\), each .*, got"):
        GridGenerator(AFFINE, size)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"output_size: expected \(depth, height, width\), each .*, got"):
        GridGenerator(AFFINE_3D, size if size != (4, 5, 6) else (5, 6))  # type: ignore[arg-type]
