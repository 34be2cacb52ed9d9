"""The identity changes nothing, known maps do what they say, and at every resolution alike."""

from __future__ import annotations

from itertools import permutations, product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.geometry import AFFINE_3D, ATTENTION, PROJECTIVE, SIMILARITY, MatrixTransform, Transform
from stn_deploy.geometry.sampling import PADDINGS
from stn_deploy.stn import GridGenerator, sample
from tests.tolerances import SAMPLE
from tests.transforms import PLANE, TRANSFORMS, as_batch, random_theta, theta_of_affine

SIZES: dict[int, list[tuple[int, ...]]] = {
    2: [(1, 1), (1, 6), (5, 9), (31, 64), (48, 7)],
    3: [(1, 1, 1), (3, 1, 5), (4, 7, 6)],
}
LINEAR = {2: "bilinear", 3: "trilinear"}
# Attention cannot turn.
TURNING = {name: each for name, each in PLANE.items() if each is not ATTENTION}

each_plane = pytest.mark.parametrize("name", PLANE)
each_transform = pytest.mark.parametrize("name", TRANSFORMS)
each_size = pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name, each in TRANSFORMS.items() for size in SIZES[each.dimensions]]
)


def random_source(size: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def transformed(
    source: Tensor,
    transform: Transform,
    theta: Tensor,
    size: tuple[int, ...],
    mode: str | None = None,
    padding: str = "border",
) -> Tensor:
    """V of U by one theta, linear unless told otherwise."""
    grid = GridGenerator(transform, size)(theta)
    return sample(source, grid, mode=mode or LINEAR[transform.dimensions], padding=padding)


@pytest.mark.parametrize("padding", PADDINGS)
@each_size
def test_identity_theta_is_a_no_op_when_sizes_match(name: str, size: tuple[int, ...], padding: str) -> None:
    transform, source = TRANSFORMS[name], random_source(size)
    identity = as_batch(transform.identity)
    assert (transformed(source, transform, identity, size, padding=padding) - source).abs().max() < SAMPLE
    assert torch.equal(transformed(source, transform, identity, size, "nearest", padding), source)


@pytest.mark.parametrize("sizes", [((5, 9), (11, 24)), ((31, 7), (32, 64)), ((6, 40), (6, 41))], ids=str)
@each_plane
def test_identity_theta_is_a_plain_resize_when_sizes_differ(
    name: str, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    before, after = sizes
    source = random_source(before)
    expected = F.interpolate(source, after, mode="bilinear", align_corners=False)
    resized = transformed(source, PLANE[name], as_batch(PLANE[name].identity), after)
    assert (resized - expected).abs().max() < SAMPLE


def test_identity_theta_is_a_plain_resize_of_volumes() -> None:
    source, size = random_source((3, 5, 8)), (4, 11, 7)
    expected = F.interpolate(source, size, mode="trilinear", align_corners=False)
    resized = transformed(source, AFFINE_3D, as_batch(AFFINE_3D.identity), size)
    assert (resized - expected).abs().max() < SAMPLE


@pytest.mark.parametrize("size", [(9, 14, 10), (31, 20, 12), (64, 200, 9)], ids=str)
@each_transform
def test_the_same_theta_means_the_same_place_at_every_resolution(name: str, size: tuple[int, ...]) -> None:
    """The source holds its own normalised coordinates, so V must hold the grid, whatever the size of U."""
    transform = TRANSFORMS[name]
    size = size[: transform.dimensions]
    axes = [(2 * torch.arange(length) + 1) / length - 1 for length in size]
    source = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1])[None]
    theta = as_batch(0.45 * transform.identity + random_theta(transform, spread=0.075) - transform.identity)
    grid = GridGenerator(transform, (6, 11, 4)[: transform.dimensions])(theta)
    # Outside the outermost centres the border is flat.
    assert (grid.abs().flatten(0, -2).amax(dim=0) < 1 - 1 / torch.tensor(size[::-1])).all()
    places = sample(source, grid, mode=LINEAR[transform.dimensions]).movedim(1, -1)
    assert (places - grid).abs().max() < SAMPLE


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("name", TURNING)
def test_a_rotation_by_90_degrees_permutes_the_pixels(name: str, quarters: int) -> None:
    """Clockwise on the screen: source (x, y) = target (y, -x); what is above comes to the right."""
    source = random_source((5, 9))
    cos, sin = ((0, -1), (-1, 0), (0, 1))[quarters - 1]
    theta = as_batch(theta_of_affine(TURNING[name], [[cos, -sin, 0], [sin, cos, 0]]))
    expected = torch.rot90(source, -quarters, dims=(2, 3))
    size = tuple(expected.shape[2:])
    assert torch.equal(transformed(source, TURNING[name], theta, size, "nearest"), expected)
    assert (transformed(source, TURNING[name], theta, size) - expected).abs().max() < SAMPLE


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_permuted_and_mirrored_axes_permute_the_voxels(order: tuple[int, int, int]) -> None:
    """Axis ``order[k]`` of U (0 is the depth, 2 the width) becomes axis k of V; in points, x comes first."""
    source = random_source((3, 4, 6))
    for signs in product((1, -1), repeat=3):
        matrix = torch.zeros(3, 4)
        for axis, (before, sign) in enumerate(zip(order, signs, strict=True)):
            matrix[2 - before, 2 - axis] = sign
        theta = as_batch(theta_of_affine(AFFINE_3D, matrix.numpy()))
        mirrored = [2 + axis for axis, sign in enumerate(signs) if sign < 0]
        expected = source.permute(0, 1, *(2 + before for before in order)).flip(mirrored)
        size = tuple(expected.shape[2:])
        assert torch.equal(transformed(source, AFFINE_3D, theta, size, "nearest"), expected)
        assert (transformed(source, AFFINE_3D, theta, size) - expected).abs().max() < SAMPLE


@each_plane
def test_a_translation_moves_the_window_not_the_picture(name: str) -> None:
    source = random_source((4, 10))
    right, down = 2 * 3 / 10, 2 * 1 / 4  # three pixels right, one down
    theta = as_batch(theta_of_affine(PLANE[name], [[1, 0, right], [0, 1, down]]))
    expected = torch.zeros_like(source)
    expected[:, :, :-1, :-3] = source[:, :, 1:, 3:]
    for mode, tolerance in (("bilinear", SAMPLE), ("nearest", 0)):
        moved = transformed(source, PLANE[name], theta, (4, 10), mode, "zeros")
        assert (moved - expected).abs().max() <= tolerance


def test_a_translation_of_volumes_moves_along_x_y_and_z() -> None:
    source = random_source((3, 4, 5))
    shifts = [2 * 2 / 5, 2 * -1 / 4, 2 * 1 / 3]  # two voxels right, one up, one to the back
    matrix = [[float(row == column) for column in range(3)] + [shifts[row]] for row in range(3)]
    expected = torch.zeros_like(source)
    expected[:, :, :-1, 1:, :-2] = source[:, :, 1:, :-1, 2:]
    theta = as_batch(theta_of_affine(AFFINE_3D, matrix))
    assert torch.equal(transformed(source, AFFINE_3D, theta, (3, 4, 5), "nearest", "zeros"), expected)


@each_plane
def test_half_the_scale_is_the_middle_of_the_picture_twice_as_large(name: str) -> None:
    source = random_source((8, 12))
    theta = as_batch(theta_of_affine(PLANE[name], [[0.5, 0, 0], [0, 0.5, 0]]))
    cropped = transformed(source, PLANE[name], theta, (4, 6))
    assert (cropped - source[:, :, 2:6, 3:9]).abs().max() < SAMPLE


@pytest.mark.parametrize("transform", [SIMILARITY, PROJECTIVE], ids=str)
def test_two_transformers_one_after_the_other_are_one_with_the_composed_theta(
    transform: MatrixTransform,
) -> None:
    """The first turns by 90 degrees, the second moves by a pixel; the other order would move another way."""
    source = random_source((5, 9))
    first = theta_of_affine(transform, [[0, 1, 0], [-1, 0, 0]])
    second = theta_of_affine(transform, [[1, 0, 2 / 5], [0, 1, 2 * 2 / 9]])  # V of the first is (9, 5)
    between = transformed(source, transform, as_batch(first), (9, 5), "nearest")
    twice = transformed(between, transform, as_batch(second), (9, 5), "nearest")
    composed = as_batch(transform.compose(first, second))
    assert torch.equal(transformed(source, transform, composed, (9, 5), "nearest"), twice)
