"""The rectifiers of published recognisers, written down once more from their original descriptions.

Independent of the package: weights by the names that the original code gives them, its control points, the
inverse of its spline's system, its grid, ``grid_sample`` with its corners and padding, its thumbnail. Random
weights have statistics of batch norm and a last layer that bends strongly, so that nothing can be lost.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A recogniser with random weights.

    family, weights: what the import is told and given; names and shapes are the original's.
    order: of its colours: RGB, BGR or grey. input_size: of the images that it takes.
    straighten: scaled images (n, c, h, w) and an output size -> control points (n, K, 2) as the original
    means them, and rectified images (n, c, *output size), scaled.
    pixels: its control points (n, K, 2) in pixels of the input, the first pixel centre at 0.
    """

    family: str
    weights: Weights
    order: str
    input_size: Size
    straighten: Callable[[Tensor, Size], tuple[Tensor, Tensor]]
    pixels: Callable[[Tensor], Tensor]


class Draw:
    """Random weights from one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator) * (high - low) + low

    def weight(self, *shape: int) -> Tensor:
        inputs = int(np.prod(shape[1:]))
        return torch.randn(shape, generator=self.generator) * (2 / inputs) ** 0.5

    def norm(self, name: str, count: int) -> Weights:
        return {
            f"{name}.weight": self.between(0.6, 1.5, count),
            f"{name}.bias": self.between(-0.3, 0.3, count),
            f"{name}.running_mean": self.between(-0.4, 0.4, count),
            f"{name}.running_var": self.between(0.4, 1.8, count),
            f"{name}.num_batches_tracked": torch.tensor(7),
        }


def convolved(x: Tensor, weights: Weights, conv: str, norm: str) -> Tensor:
    x = F.conv2d(x, weights[f"{conv}.weight"], weights.get(f"{conv}.bias"), padding=1)
    means, variances = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
    return F.relu(F.batch_norm(x, means, variances, weights[f"{norm}.weight"], weights[f"{norm}.bias"]))


# --- the spline of RARE, in TRBA and PaddleOCR's TPS -------------------------------------------------------


def rare_matrices(count: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """inv_delta_C (F+3, F+3) and P_hat (n, F+3), float64."""
    half = np.linspace(-1.0, 1.0, count // 2)
    controls = np.concatenate([np.stack([half, np.full(count // 2, y)], axis=1) for y in (-1.0, 1.0)])
    distance = np.linalg.norm(controls[:, None] - controls[None], axis=2)
    np.fill_diagonal(distance, 1)
    kernel = distance**2 * np.log(distance)
    system = np.zeros((count + 3, count + 3))
    system[:count, 0], system[:count, 1:3], system[:count, 3:] = 1, controls, kernel
    system[count : count + 2, 3:], system[count + 2, 3:] = controls.T, 1
    height, width = size
    xs = (np.arange(-width, width, 2) + 1.0) / width
    ys = (np.arange(-height, height, 2) + 1.0) / height
    points = np.stack(np.meshgrid(xs, ys), axis=2).reshape(-1, 2)
    away = np.linalg.norm(points[:, None] - controls[None], axis=2)
    rows = np.concatenate([np.ones((len(points), 1)), points, away**2 * np.log(away + 1e-6)], axis=1)
    return np.linalg.inv(system), rows


def rare_sampled(images: Tensor, points: Tensor, size: Size, padding: str) -> Tensor:
    inverse, rows = (torch.from_numpy(each).float() for each in rare_matrices(points.shape[1], size))
    filled = torch.cat([points, torch.zeros(len(points), 3, 2)], dim=1)
    grid = (rows @ (inverse @ filled)).reshape(-1, *size, 2)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=True)


def rare_bias(draw: Draw, count: int, slope: float = 0.4) -> Tensor:
    xs = torch.linspace(-1, 1, count // 2)
    rise = slope * torch.linspace(1, -1, count // 2) + 0.15 * torch.sin(3 * xs)
    rows = [torch.stack([xs, y + rise], dim=1) for y in (-0.75, 0.65)]
    return (torch.cat(rows) + draw.between(-0.08, 0.08, count, 2)).reshape(-1)


def corner_pixels(points: Tensor, size: Size) -> Tensor:
    return (points + 1) / 2 * (torch.tensor(size[::-1]) - 1)


def trba(
    *,
    seed: int = 0,
    count: int = 20,
    colours: int = 1,
    size: Size = (32, 100),
    prefix: str = "module.Transformation.",
) -> Published:
    draw = Draw(seed)
    weights: Weights = {}
    net = "LocalizationNetwork."
    for index, (before, after) in enumerate(((colours, 64), (64, 128), (128, 256), (256, 512))):
        weights[f"{net}conv.{4 * index}.weight"] = draw.weight(after, before, 3, 3)
        weights |= draw.norm(f"{net}conv.{4 * index + 1}", after)
    weights[f"{net}localization_fc1.0.weight"] = draw.weight(256, 512)
    weights[f"{net}localization_fc1.0.bias"] = draw.between(-0.1, 0.1, 256)
    weights[f"{net}localization_fc2.weight"] = draw.weight(2 * count, 256) * 0.12
    weights[f"{net}localization_fc2.bias"] = rare_bias(draw, count)
    inverse, rows = rare_matrices(count, size)
    weights["GridGenerator.inv_delta_C"] = torch.from_numpy(inverse).float()
    weights["GridGenerator.P_hat"] = torch.from_numpy(rows).float()

    def straighten(images: Tensor, output: Size) -> tuple[Tensor, Tensor]:
        x = images
        for index in range(4):
            x = convolved(x, weights, f"{net}conv.{4 * index}", f"{net}conv.{4 * index + 1}")
            x = F.max_pool2d(x, 2, 2) if index < 3 else F.adaptive_avg_pool2d(x, 1)
        x = F.relu(F.linear(x.flatten(1), *pair(weights, f"{net}localization_fc1.0")))
        points = F.linear(x, *pair(weights, f"{net}localization_fc2")).reshape(-1, count, 2)
        return points, rare_sampled(images, points, output, "border")

    return Published(
        family="trba",
        weights={
            **{f"{prefix}{name}": value for name, value in weights.items()},
            "module.FeatureExtraction.ConvNet.conv0_1.weight": draw.weight(8, colours, 3, 3),
        },
        order="grey" if colours == 1 else "RGB",
        input_size=size,
        straighten=straighten,
        pixels=lambda points: corner_pixels(points, size),
    )


def pair(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def paddle_names(weights: Weights, dense: tuple[str, ...]) -> Weights:
    """Paddle's names of batch norm's statistics, and its dense weights, (in, out)."""
    renamed = {}
    for name, value in weights.items():
        if name.endswith("num_batches_tracked"):
            continue
        name = name.replace("running_mean", "_mean").replace("running_var", "_variance")
        turned = name.endswith("weight") and any(name == f"{each}.weight" for each in dense)
        renamed[name] = value.T.contiguous() if turned else value
    return renamed


def paddle_tps(
    *, seed: int = 0, large: bool = False, count: int = 20, size: Size = (32, 100), prefix: str = "transform."
) -> Published:
    draw = Draw(seed)
    weights: Weights = {}
    channels, width = ((64, 128, 256, 512), 256) if large else ((16, 32, 64, 128), 64)
    for index, (before, after) in enumerate(zip((3, *channels), channels, strict=False)):
        weights[f"loc_net.loc_conv{index}.conv.weight"] = draw.weight(after, before, 3, 3)
        weights |= draw.norm(f"loc_net.loc_conv{index}.bn", after)
    weights["loc_net.fc1.weight"] = draw.weight(width, channels[-1])
    weights["loc_net.fc1.bias"] = draw.between(-0.1, 0.1, width)
    weights["loc_net.fc2.weight"] = draw.weight(2 * count, width) * 0.12
    weights["loc_net.fc2.bias"] = rare_bias(draw, count, slope=-0.3)
    weights["grid_generator.fc.weight"] = torch.zeros(6, 2 * count)
    weights["grid_generator.fc.bias"] = torch.zeros(6)

    def straighten(images: Tensor, output: Size) -> tuple[Tensor, Tensor]:
        x = images
        for index in range(4):
            x = convolved(x, weights, f"loc_net.loc_conv{index}.conv", f"loc_net.loc_conv{index}.bn")
            x = F.max_pool2d(x, 2, 2) if index < 3 else F.adaptive_avg_pool2d(x, 1)
        x = F.relu(F.linear(x.flatten(1), *pair(weights, "loc_net.fc1")))
        points = F.linear(x, *pair(weights, "loc_net.fc2")).reshape(-1, count, 2)
        return points, rare_sampled(images, points, output, "zeros")

    dense = ("loc_net.fc1", "loc_net.fc2", "grid_generator.fc")
    return Published(
        family="paddleocr",
        weights={
            **{f"{prefix}{name}": value for name, value in paddle_names(weights, dense).items()},
            "backbone.conv1.weight": draw.weight(8, 3, 3, 3),
        },
        order="BGR",
        input_size=size,
        straighten=straighten,
        pixels=lambda points: corner_pixels(points, size),
    )


# --- the spline of ASTER, in ASTER.pytorch, MMOCR and PaddleOCR's STN_ON -----------------------------------


def aster_kernel(first: Tensor, second: Tensor) -> Tensor:
    square = ((first[:, None] - second[None]) ** 2).sum(dim=2)
    kernel = 0.5 * square * torch.log(square)
    return torch.where(torch.isnan(kernel), torch.zeros(()), kernel)


def aster_matrices(count: int, size: Size, margin: float) -> Weights:
    xs = torch.linspace(margin, 1 - margin, count // 2)
    controls = torch.cat([torch.stack([xs, torch.full_like(xs, y)], dim=1) for y in (margin, 1 - margin)])
    system = torch.zeros(count + 3, count + 3)
    system[:count, :count] = aster_kernel(controls, controls)
    system[:count, count], system[count, :count] = 1, 1
    system[:count, count + 1 :], system[count + 1 :, :count] = controls, controls.T
    height, width = size
    ys, xs = torch.meshgrid(
        torch.arange(height) / (height - 1), torch.arange(width) / (width - 1), indexing="ij"
    )
    points = torch.stack([xs, ys], dim=2).reshape(-1, 2)
    rows = torch.cat([aster_kernel(points, controls), torch.ones(len(points), 1), points], dim=1)
    return {
        "inverse_kernel": torch.inverse(system),
        "padding_matrix": torch.zeros(3, 2),
        "target_coordinate_repr": rows,
        "target_control_points": controls,
    }


@dataclass(frozen=True)
class AsterNames:
    """How a family calls the layers of the network that they share, and which of them it has."""

    family: str
    order: str
    prefix: str
    conv: str
    norm: str
    head: str
    bias: bool
    buffers: bool
    paddle: bool = False


ASTER = AsterNames("aster", "RGB", "", "stn_convnet.{}.0", "stn_convnet.{}.1", "stn_head.", True, True)
MMOCR = AsterNames(
    "mmocr", "BGR", "preprocessor.", "stn_convnet.{}.conv", "stn_convnet.{}.bn", "", False, True
)
STN_ON = AsterNames(
    "paddleocr", "BGR", "transform.", "stn_convnet.{}.0", "stn_convnet.{}.1", "stn_head.", True, False, True
)


def aster(
    names: AsterNames = ASTER,
    *,
    seed: int = 0,
    count: int = 20,
    output: Size = (32, 100),
    size: Size = (64, 256),
    margin: float = 0.05,
) -> Published:
    draw = Draw(seed)
    weights: Weights = {}
    widths = (32, 64, 128, 256, 256, 256)
    for index, (before, after) in enumerate(zip((3, *widths), widths, strict=False)):
        conv = names.head + names.conv.format(2 * index)
        weights[f"{conv}.weight"] = draw.weight(after, before, 3, 3)
        if names.bias:
            weights[f"{conv}.bias"] = draw.between(-0.2, 0.2, after)
        weights |= draw.norm(names.head + names.norm.format(2 * index), after)
    first, norm, last = (f"{names.head}{each}" for each in ("stn_fc1.0", "stn_fc1.1", "stn_fc2"))
    weights[f"{first}.weight"], weights[f"{first}.bias"] = draw.weight(512, 512), draw.between(-0.1, 0.1, 512)
    weights |= draw.norm(norm, 512)
    weights[f"{last}.weight"] = draw.weight(2 * count, 512) * 0.5
    weights[f"{last}.bias"] = (rare_bias(draw, count, slope=0.35) + 1) / 2
    buffers = {f"tps.{name}": value for name, value in aster_matrices(count, output, margin).items()}

    def straighten(images: Tensor, output: Size) -> tuple[Tensor, Tensor]:
        x = F.interpolate(images, (32, 64), mode="bilinear", align_corners=True)
        for index in range(6):
            x = F.max_pool2d(x, 2, 2) if index else x
            conv, beside = (names.head + each.format(2 * index) for each in (names.conv, names.norm))
            x = convolved(x, weights, conv, beside)
        x = F.linear(x.flatten(1), *pair(weights, first))
        means, variances = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        x = F.relu(F.batch_norm(x, means, variances, *pair(weights, norm)))
        points = F.linear(0.1 * x, *pair(weights, last)).reshape(-1, count, 2)
        matrices = aster_matrices(count, output, margin)
        filled = torch.cat([points, torch.zeros(len(points), 3, 2)], dim=1)
        grid = matrices["target_coordinate_repr"] @ (matrices["inverse_kernel"] @ filled)
        grid = 2 * grid.clamp(0, 1).reshape(-1, *output, 2) - 1
        return points, F.grid_sample(images, grid, padding_mode="zeros", align_corners=True)

    stored = weights | (buffers if names.buffers else {})
    if names.paddle:
        stored = paddle_names(stored, (first, last))
    return Published(
        family=names.family,
        weights={
            **{f"{names.prefix}{name}": value for name, value in stored.items()},
            "encoder.layer0.0.weight": draw.weight(8, 3, 3, 3),
        },
        order=names.order,
        input_size=size,
        straighten=straighten,
        pixels=lambda points: points * (torch.tensor(size[::-1]) - 1),
    )


def scaled(images: Any, order: str) -> Tensor:
    """(n, h, w, 3) uint8 BGR -> (n, c, h, w) in [-1, 1], as the original's loader makes it."""
    if order == "grey":
        blue, green, red = (images[..., channel].astype(np.int64) for channel in range(3))
        grey = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16  # Pillow's L
        images = grey[..., None]
    elif order == "RGB":
        images = images[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def save(original: Published, folder: Path) -> Path:
    """Its weights as the original training writes them."""
    if original.family == "paddleocr":
        path = folder / "best_accuracy.pdparams"
        arrays = {name: value.numpy() for name, value in original.weights.items()}
        path.write_bytes(pickle.dumps({**arrays, "StructuredToParameterName@@": {"a": "b"}}, protocol=4))
        return path
    content = original.weights if original.family == "trba" else {"state_dict": original.weights, "iters": 3}
    path = folder / "best_accuracy.pth"
    torch.save(content, path)
    return path
