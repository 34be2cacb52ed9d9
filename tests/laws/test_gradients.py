"""Gradients of the Spatial Transformer, against finite differences in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stn_deploy.geometry import affine_identity, control_point_targets
from stn_deploy.stn import GridGenerator, Sampler, SpatialTransformer, sample
from stn_deploy.stn.sampler import PADDINGS

GRIDS = {
    "affine": (GridGenerator.affine((3, 4)), torch.from_numpy(affine_identity())),
    "thin plate": (
        GridGenerator.thin_plate_spline((3, 4), 6),
        torch.from_numpy(control_point_targets(6).copy()),
    ),
}
SOURCE_SIZE = (5, 7)


class Given(nn.Module):
    """A localisation network that answers with what it was given."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = theta

    def forward(self, source: Tensor) -> Tensor:
        return self.theta


def away_from_pixel_boundaries(grid: Tensor) -> bool:
    """Sampling has a kink at each pixel centre and at the edges of U; differences must not cross one."""
    size = torch.tensor(SOURCE_SIZE[::-1], dtype=grid.dtype)
    position = (grid + 1) * size / 2 - 0.5
    to_centre = (position - position.round()).abs().min()
    to_edge = (grid.abs() - 1).abs().min()
    return bool(torch.minimum(to_centre, to_edge) > 1e-4)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", GRIDS)
def test_gradients_of_source_and_theta_are_right(name: str, padding: str) -> None:
    grid_generator, identity = GRIDS[name]
    generator = torch.Generator().manual_seed(3)
    theta = 1.2 * identity + 0.25 * torch.randn(2, *identity.shape, generator=generator, dtype=torch.float64)
    source = torch.rand(2, 2, *SOURCE_SIZE, generator=generator, dtype=torch.float64)
    grid = grid_generator(theta)
    assert away_from_pixel_boundaries(grid)
    assert grid.abs().max() > 1.05  # the padding has a part in it

    def transform(source: Tensor, theta: Tensor) -> Tensor:
        output: Tensor = SpatialTransformer(Given(theta), grid_generator, Sampler(padding))(source)
        return output

    assert torch.autograd.gradcheck(transform, (source.requires_grad_(), theta.requires_grad_()))


def test_a_theta_that_is_not_finite_spoils_no_other_gradient() -> None:
    grid_generator, identity = GRIDS["thin plate"]
    theta = (0.7 * identity).repeat(2, 1, 1)
    theta[0, 1, 0] = torch.nan
    theta.requires_grad_()
    source = torch.rand(2, 1, *SOURCE_SIZE, dtype=torch.float64, requires_grad=True)
    sample(source, grid_generator(theta)).sum().backward()
    assert theta.grad is not None
    assert source.grad is not None
    assert theta.grad[1].isfinite().all()
    assert theta.grad[1].abs().sum() > 0
    assert source.grad.isfinite().all()
    assert not source.grad[0].any()
