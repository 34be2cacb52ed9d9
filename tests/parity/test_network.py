"""Networks of a user's own with Spatial Transformers in them: the exported file computes what torch does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from stn_deploy.errors import ArgumentError, OutputError
from stn_deploy.export import export_network
from stn_deploy.export.node import DOMAIN, OP_TYPE, NodeKind
from stn_deploy.geometry import AFFINE, AFFINE_3D, PROJECTIVE, ThinPlateSpline
from stn_deploy.geometry.sampling import MODES
from stn_deploy.stn import (
    BoundedDisplacement,
    DepthProjection,
    FullyConnectedLocalisation,
    ParallelSpatialTransformer,
    Sampler,
    SpatialTransformer,
)
from tests.networks import OUTPUT, SIZES, alive, images, transformer
from tests.tolerances import SAMPLE
from tests.transforms import TRANSFORMS


def check_parity(network: nn.Module, path: Path, *shapes: tuple[int, ...]) -> onnx.ModelProto:
    """Export with one batch, run with another one."""
    export_network(network, [images(2, *shape) for shape in shapes], path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = [images(5, *shape, seed=seed) for seed, shape in enumerate(shapes, start=3)]
    named = {value.name: given.numpy() for value, given in zip(session.get_inputs(), inputs, strict=True)}
    with torch.inference_mode():
        expected = network.eval()(*inputs)
    (found,) = session.run(None, named)
    assert found.shape == tuple(expected.shape)
    assert np.ptp(expected.numpy()) > 0.05
    assert np.abs(found - expected.numpy()).max() < SAMPLE
    return onnx.load(path)


def nodes_in(model: onnx.ModelProto) -> list[NodeKind]:
    return [
        NodeKind.of(node) for node in model.graph.node if (node.domain, node.op_type) == (DOMAIN, OP_TYPE)
    ]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_becomes_the_node(name: str, tmp_path: Path) -> None:
    transform = TRANSFORMS[name]
    network = transformer(transform)
    model = check_parity(network, tmp_path / "network.onnx", (2, *SIZES[transform.dimensions]))
    (kind,) = nodes_in(model)
    assert kind.homogeneous == transform.homogeneous
    assert [function.name for function in model.functions] == [OP_TYPE]


SAMPLERS = [
    (axes, mode, padding)
    for axes, modes in MODES.items()
    for mode in modes
    for padding in ("border", "zeros", "reflection")
]


@pytest.mark.parametrize(("axes", "mode", "padding"), SAMPLERS)
def test_every_sampler_becomes_the_node(axes: int, mode: str, padding: str, tmp_path: Path) -> None:
    network = transformer({2: AFFINE, 3: AFFINE_3D}[axes], Sampler(mode, padding))
    model = check_parity(network, tmp_path / "network.onnx", (2, *SIZES[axes]))
    assert nodes_in(model) == [NodeKind(dimensions=axes, interpolation=mode, padding=padding)]


class Multi(nn.Module):
    """Transformers on the image and on feature maps, of several kinds, as in the paper's ST-CNN Multi."""

    def __init__(self) -> None:
        super().__init__()
        self.first = transformer(PROJECTIVE)
        self.convolution = nn.Conv2d(2, 3, 3, padding=1)
        localisations = [
            alive(FullyConnectedLocalisation((3, *OUTPUT[2]), transform.identity), seed=seed)
            for seed, transform in enumerate((AFFINE, AFFINE))
        ]
        self.parallel = ParallelSpatialTransformer(
            localisations, [AFFINE, AFFINE], Sampler("bilinear", "zeros"), (6, 5)
        )
        self.last = SpatialTransformer(
            alive(FullyConnectedLocalisation((6, 6, 5), ThinPlateSpline.on_edges(6).identity)),
            ThinPlateSpline.on_edges(6),
            Sampler("bilinear", "zeros"),
            (4, 8),
            constraint=BoundedDisplacement(ThinPlateSpline.on_edges(6), 0.2),
        )
        self.classifier = nn.Linear(6 * 4 * 8, 10)

    def forward(self, image: Tensor) -> Tensor:
        features = torch.relu(self.convolution(self.first(image)))
        scores: Tensor = self.classifier(self.last(self.parallel(features)).flatten(1))
        return scores


def test_several_transformers_at_several_depths(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = check_parity(Multi(), tmp_path / "network.onnx", (2, *SIZES[2]))
    # The three that are alike share the function; the projective one stands there as standard operators.
    assert nodes_in(model) == [NodeKind(padding="zeros")] * 3


def test_a_volume_is_turned_and_projected(tmp_path: Path) -> None:
    network = nn.Sequential(transformer(AFFINE_3D), DepthProjection(), nn.Flatten())
    assert len(nodes_in(check_parity(network, tmp_path / "network.onnx", (2, *SIZES[3])))) == 1


def test_one_transformer_on_two_inputs(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = transformer(AFFINE)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            difference: Tensor = self.shared(left) - self.shared(right)
            return difference

    shape = (2, *SIZES[2])
    assert len(nodes_in(check_parity(Twice(), tmp_path / "network.onnx", shape, shape))) == 2


def test_antialiasing_goes_as_standard_operators(tmp_path: Path) -> None:
    network = transformer(AFFINE, Sampler(antialias=True), size=(40, 51))
    model = check_parity(network, tmp_path / "network.onnx", (2, 40, 51))
    assert nodes_in(model) == []
    assert {opset.domain for opset in model.opset_import} == {""}


def test_a_forward_of_one_s_own_stays(tmp_path: Path) -> None:
    class Doubled(SpatialTransformer):
        def forward(self, source: Tensor) -> Tensor:
            return 2 * super().forward(source)

    plain = transformer(AFFINE)
    network = Doubled(plain.localisation, AFFINE, Sampler(), OUTPUT[2])
    assert nodes_in(check_parity(network, tmp_path / "network.onnx", (2, *SIZES[2]))) == []


class Doubling(Sampler):
    def forward(self, source: Tensor, grid: Tensor) -> Tensor:
        return 2 * super().forward(source, grid)


def with_hook(network: SpatialTransformer, part: str) -> SpatialTransformer:
    network.get_submodule(part).register_forward_hook(lambda _, __, output: 0.5 * output)
    return network


def with_sampling_of_its_own(network: SpatialTransformer) -> SpatialTransformer:
    plain = network.sampler.forward
    network.sampler.forward = lambda source, grid: 3 * plain(source, grid)  # type: ignore[method-assign]
    return network


@pytest.mark.parametrize(
    "make",
    [
        lambda: transformer(AFFINE, Doubling()),
        lambda: with_hook(transformer(AFFINE), "sampler"),
        lambda: with_hook(transformer(AFFINE), "grid_generator"),
        lambda: with_sampling_of_its_own(transformer(AFFINE)),
    ],
    ids=["subclass", "hooked sampler", "hooked grid generator", "instance"],
)
def test_a_sampler_or_grid_of_one_s_own_stays(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    assert nodes_in(check_parity(make(), tmp_path / "network.onnx", (2, *SIZES[2]))) == []


def test_hooks_around_a_transformer_stay_beside_its_node(tmp_path: Path) -> None:
    network = with_hook(transformer(AFFINE), "localisation")
    network.register_forward_hook(lambda _, __, output: 0.5 * output)
    assert len(nodes_in(check_parity(network, tmp_path / "network.onnx", (2, *SIZES[2])))) == 1


def test_either_branch_of_a_condition_is_what_torch_computes(tmp_path: Path) -> None:
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = transformer(AFFINE)
            self.other = transformer(PROJECTIVE, Sampler("nearest", "zeros"))

        def forward(self, image: Tensor) -> Tensor:
            chosen: Tensor = torch.cond(image.sum() > 0, self.one, self.other, (image,))
            return chosen

    path, network = tmp_path / "network.onnx", Choosing().eval()
    export_network(network, images(3, 2, *SIZES[2]), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for image in (images(5, 2, *SIZES[2]), -images(5, 2, *SIZES[2])):
        (found,) = session.run(None, {"input": image.numpy()})
        assert np.abs(found - network(image).detach().numpy()).max() < SAMPLE


def test_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), transformer(AFFINE), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_network(network, images(2, 2, *SIZES[2]), tmp_path / "network.onnx")
    assert network.training
    assert "forward" not in vars(network[1])
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, example = Multi(), images(3, 2, *SIZES[2])
    files = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for file in files:
        export_network(network, example, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert str(tmp_path).encode() not in files[0].read_bytes()


def test_names_and_opset_are_the_user_s(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    example = images(2, 2, *SIZES[2])
    export_network(transformer(AFFINE), example, path, input_names=["photo"], output_names=["flat"], opset=19)
    model = onnx.load(path)
    assert [value.name for value in model.graph.input] == ["photo"]
    assert [value.name for value in model.graph.output] == ["flat"]
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 19, DOMAIN: 1}
    assert [opset.version for opset in model.functions[0].opset_import] == [19]
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"photo": example.numpy()}
    )


def test_sizes_may_be_dynamic(tmp_path: Path) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 6))
            self.transformer = SpatialTransformer(pool, AFFINE, Sampler(), OUTPUT[2])

        def forward(self, image: Tensor) -> Tensor:
            output: Tensor = self.transformer(image)
            return output

    torch.manual_seed(0)
    network, path = Turned(), tmp_path / "network.onnx"
    n, h, w = (torch.export.Dim(name, min=2, max=999) for name in "nhw")
    export_network(network, images(2, 2, 12, 17), path, dynamic_shapes=({0: n, 2: h, 3: w},))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in ((5, 31), (44, 9)):
        image = images(3, 2, *size)
        (found,) = session.run(None, {"input": image.numpy()})
        assert np.abs(found - network.eval()(image).detach().numpy()).max() < SAMPLE


def with_old_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch calls it deprecated, and has it
        network = nn.Sequential(transformer(AFFINE), torch.nn.utils.weight_norm(nn.Conv2d(2, 2, 3)))
    network(EXAMPLE)
    return network


class Inverting(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.linalg.inv(image[:, 0, :3, :3])  # the line that the message names


class Branching(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image if image.sum() > 0 else -image  # and this one


class ForPairs(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image - image.flip(0) if len(image) == 2 else image


EXAMPLE = images(2, 2, *SIZES[2])
VOLUMES = images(2, 2, *SIZES[3])
REFUSED: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], str]] = {
    "operator": (
        Inverting,
        {},
        r"Inverting: expected operators that ONNX has, got aten.linalg_inv\w* \(.*test_network.py, line \d+: "
        r"return torch.linalg.inv\(image",
    ),
    "branch": (
        Branching,
        {},
        r"Branching: cannot be traced: .*test_network.py, line \d+: return image if image.sum\(\) > 0",
    ),
    "wrong input": (lambda: transformer(AFFINE), {"example_inputs": images(2, 3, 9, 9)}, "source: expected"),
    "half": (
        lambda: transformer(AFFINE),
        {"example_inputs": EXAMPLE.half()},
        "SpatialTransformer: cannot be called with the example inputs: .*(dtype|type)",
    ),
    "nothing": (
        nn.Identity,
        {"example_inputs": None},
        "example_inputs: expected a tensor or a list of tensors, got NoneType",
    ),
    "no input": (
        nn.Identity,
        {"example_inputs": []},
        "example_inputs: expected at least one tensor, got none",
    ),
    "array": (
        nn.Identity,
        {"example_inputs": [np.zeros(3)]},
        "example_inputs: expected tensors, got ndarray at 0",
    ),
    "no module": (lambda: torch.sin, {}, "network: expected a torch module, got builtin_function_or_method"),  # type: ignore[dict-item,return-value]
    "double": (
        lambda: transformer(AFFINE).double(),
        {},
        r"expected float32, got float64; .*network.float\(\)",
    ),
    "opset 17": (nn.Identity, {"opset": 17}, "opset: expected 18 or 19, got 17"),
    "opset 20": (nn.Identity, {"opset": 20}, "opset: expected 18 or 19, got 20; .*GridSample"),
    "names": (
        nn.Identity,
        {"input_names": ["a", "b"]},
        r"input_names: expected 1 different names, got \['a', 'b'\]",
    ),
    "name": (nn.Identity, {"input_names": "a"}, "input_names: expected 1 different names, got 'a'"),
    "input as output": (
        nn.Identity,
        {"output_names": ["input"]},
        r"output_names: expected different names, none of them of an input \(input\), got \['input'\]",
    ),
    "output twice": (nn.Identity, {"output_names": ["a", "a"]}, "output_names: expected different names"),
    "too many outputs": (
        lambda: transformer(AFFINE),
        {"output_names": ["a", "b"]},
        "output_names: expected 1 names, got 2",
    ),
    "one length": (
        ForPairs,
        {},
        "input: expected axis 0 to be of any length, got 2 alone: the network asks for that length",
    ),
    "lazy": (
        lambda: nn.Sequential(transformer(AFFINE), nn.LazyConv2d(3, 3)),
        {},
        "1.weight: expected weights, got none yet; call the network once",
    ),
    "no copy": (with_old_weight_norm, {}, "Sequential: cannot be copied: .*parametrizations.weight_norm"),
    "antialiased volume": (
        lambda: transformer(AFFINE_3D, Sampler("trilinear", antialias=True)),
        {"example_inputs": VOLUMES},
        "network: expected a sampler without antialias for volumes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    make, settings, message = REFUSED[name]
    arguments = {"example_inputs": EXAMPLE, **settings}
    with pytest.raises(ArgumentError, match=message):
        export_network(make(), path=tmp_path / "network.onnx", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written"):
        export_network(nn.Identity(), EXAMPLE, tmp_path / "file" / "network.onnx")
