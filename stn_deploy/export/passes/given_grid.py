"""Let the plugin take the GridSample nodes of any model: for a TensorRT that refuses volumes, before 11.2.

The kernel does what ONNX asks, in float32 whatever the source is, with two exceptions. Half way between two
pixels, "nearest" takes the later one, where ONNX takes the even one. And a position that is NaN or infinite
gives 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    shape_inference,
)

from stn_deploy.errors import ArtifactError
from stn_deploy.export.node import DOMAIN
from stn_deploy.plugins.launch.plan import INTERPOLATION_CODES, PADDING_CODES

GIVEN_GRID_SAMPLE = "GivenGridSample"
_WORDS = {
    "nearest": "nearest",
    "bilinear": "linear",
    "linear": "linear",
    "bicubic": "cubic",
    "cubic": "cubic",
}
_ELEMENTS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_PLUGIN = {"plugin_namespace": DOMAIN, "plugin_version": "1"}
_FUNCTIONS = 8
"""Models of this IR version and newer may have functions."""


@dataclass(frozen=True)
class _Tensor:
    """What shape inference knows of one: 0 and None where it knows nothing."""

    element: int = 0
    rank: int | None = None


def give_grids(
    model: ModelProto, *, dimensions: Iterable[int] = (2, 3), nearest: bool = False, function: bool = True
) -> ModelProto:
    """The model with GridSample replaced by ``stn_deploy::GivenGridSample``, in its graph and all within.

    Model-local functions are left as they are.

    Args:
        dimensions: replace the nodes on images (2), on volumes (3), or both.
        nearest: also those of the mode "nearest", although they take another pixel at a tie.
        function: define the new node by the old one, so that the model runs without the plugin as well; this
            takes all replaced nodes to have the same mode, padding and corners.
    Raises:
        ArtifactError: there is no such node, or one that the plugin cannot take, or that has another kind and
            a function is asked for.
    """
    chosen = tuple(dimensions)
    given = ModelProto()
    given.CopyFrom(model)
    known = _known(model)
    kinds: list[dict[str, int]] = []
    for graph in reversed(_graphs(given.graph)):  # what lies within first: the nodes around it are copied
        kinds += _replace(graph, known, chosen, nearest=nearest)
    if not kinds:
        raise ArtifactError(f"model: expected a node GridSample to replace, {_why_none(model, known)}")
    if DOMAIN not in {each.domain for each in given.opset_import}:
        given.opset_import.add(domain=DOMAIN, version=1)
    others = [each for each in given.functions if (each.domain, each.name) != (DOMAIN, GIVEN_GRID_SAMPLE)]
    del given.functions[:]  # of a model that was replaced before: the one below stands for all
    given.functions.extend(others)
    if function:
        if any(codes != kinds[0] for codes in [*kinds, *_replaced_before(model)]):
            raise ArtifactError(
                "model: expected GridSample nodes of one mode, padding and align_corners, for they share a "
                "function, found several kinds; without it (function=False, --function strip) they are "
                "replaced, and only the plugin runs the model"
            )
        given.functions.append(_function(kinds[0], _opset(model)))
        given.ir_version = max(given.ir_version, _FUNCTIONS)
    return given


def _why_none(model: ModelProto, known: dict[str, _Tensor]) -> str:
    """Why a model has no node to replace, and what to do about it."""
    nodes = [node for graph in _graphs(model.graph) for node in graph.node]
    ranks = {_tensors(node, known)[2] for node in nodes if _is_grid_sample(node)}
    for axes, place in ((2, "images"), (3, "volumes")):
        if axes + 2 in ranks:
            return f"found them on {place} alone; dimensions=({axes},), --dimensions {axes}, replaces these"
    if any((node.domain, node.op_type) == (DOMAIN, GIVEN_GRID_SAMPLE) for node in nodes):
        return "found that all are replaced already"
    if any(_is_grid_sample(node) for each in model.functions for node in each.node):
        return "found them in its functions alone, which are left as they are; onnx.inliner dissolves these"
    return "found none"


def _replaced_before(model: ModelProto) -> list[dict[str, int]]:
    """The attributes of the nodes that are the plugin's already."""
    names = ("interpolation", "padding", "align_corners")
    return [
        {name: {item.name: item.i for item in node.attribute}.get(name, 0) for name in names}
        for graph in _graphs(model.graph)
        for node in graph.node
        if (node.domain, node.op_type) == (DOMAIN, GIVEN_GRID_SAMPLE)
    ]


def _is_grid_sample(node: NodeProto) -> bool:
    return node.op_type == "GridSample" and node.domain in ("", "ai.onnx")


def _tensors(node: NodeProto, known: dict[str, _Tensor]) -> tuple[_Tensor, _Tensor, int | None]:
    """Source and grid of a node, and the rank of both."""
    source, grid = (known.get(name, _Tensor()) for name in [*node.input, "", ""][:2])
    return source, grid, source.rank or grid.rank


def _opset(model: ModelProto) -> int:
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    return int(max(versions))


def _replace(
    graph: GraphProto, known: dict[str, _Tensor], dimensions: tuple[int, ...], *, nearest: bool
) -> list[dict[str, int]]:
    """Replace the nodes of one graph; the attributes of the new ones."""
    nodes: list[NodeProto] = []
    kinds = []
    for node in graph.node:
        source, grid, rank = _tensors(node, known)
        asked = rank is None or rank - 2 in dimensions
        if not _is_grid_sample(node) or not asked:
            nodes.append(node)
            continue
        if len(node.input) != 2 or not all(node.input):
            name = node.name or ", ".join(node.output)
            raise ArtifactError(f"{name}: expected a source and a grid, got {list(node.input)}")
        kinds.append(_codes(node, source, rank, nearest=nearest))
        positions = node.input[1]
        if grid.element != TensorProto.FLOAT:
            positions = f"{node.output[0]}__grid"
            nodes.append(helper.make_node("Cast", [node.input[1]], [positions], to=TensorProto.FLOAT))
        inputs, attributes = [node.input[0], positions], {**kinds[-1], **_PLUGIN}
        made = helper.make_node(GIVEN_GRID_SAMPLE, inputs, list(node.output), name=node.name, domain=DOMAIN)
        made.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
        nodes.append(made)
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return kinds


def _codes(node: NodeProto, source: _Tensor, rank: int | None, *, nearest: bool) -> dict[str, int]:
    """The plugin's attributes for a node."""
    said = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    words = (said.get("mode", b"linear"), said.get("padding_mode", b"zeros"))
    mode, padding = (word.decode("utf-8", "replace") for word in words)
    name = node.name or node.output[0]
    interpolation = _WORDS.get(mode)
    if interpolation is None or padding not in PADDING_CODES:
        raise ArtifactError(
            f"{name}: expected a mode and padding of ONNX's GridSample, got {mode}, {padding}"
        )
    if interpolation == "nearest" and not nearest:
        raise ArtifactError(
            f"{name}: nearest: half way between two pixels the plugin takes the later one, ONNX the even "
            "one; nearest=True, --nearest, replaces it all the same"
        )
    if rank not in (None, 4, 5) or (rank == 5 and interpolation == "cubic"):
        raise ArtifactError(
            f"{name}: expected images, or volumes without cubic interpolation, got {mode} on a source of "
            f"{rank} dimensions"
        )
    if source.element and source.element not in _ELEMENTS:
        kind = TensorProto.DataType.Name(source.element)
        raise ArtifactError(f"{name}: expected a source of float32, float16 or bfloat16, got {kind}")
    return {
        "interpolation": INTERPOLATION_CODES[interpolation],
        "padding": PADDING_CODES[padding],
        "align_corners": int(said.get("align_corners", 0)),
    }


def _function(codes: dict[str, int], opset: int) -> FunctionProto:
    """The node in standard operators; TensorRT's own wants source and grid of one type."""
    words = {code: word for word, code in INTERPOLATION_CODES.items()}
    old = {"linear": "bilinear", "cubic": "bicubic"} if opset < 20 else {}
    mode = words[codes["interpolation"]]
    paddings = {code: word for word, code in PADDING_CODES.items()}
    nodes = [
        helper.make_node("Cast", ["stn__source"], ["stn__wide"], to=TensorProto.FLOAT),
        helper.make_node(
            "GridSample",
            ["stn__wide", "stn__grid"],
            ["stn__sampled"],
            mode=old.get(mode, mode),
            padding_mode=paddings[codes["padding"]],
            align_corners=codes["align_corners"],
        ),
        helper.make_node("CastLike", ["stn__sampled", "stn__source"], ["stn__output"]),
    ]
    return helper.make_function(
        DOMAIN,
        GIVEN_GRID_SAMPLE,
        ["stn__source", "stn__grid"],
        ["stn__output"],
        nodes,
        [helper.make_opsetid("", opset)],
        attributes=[*codes, *_PLUGIN],
    )


def _graphs(graph: GraphProto) -> list[GraphProto]:
    """A graph, and those of the branches and loops within."""
    found = [graph]
    for node in graph.node:
        for item in node.attribute:
            for inner in ([item.g] if item.HasField("g") else []) + list(item.graphs):
                found += _graphs(inner)
    return found


def _known(model: ModelProto) -> dict[str, _Tensor]:
    """Element and rank of each tensor, as far as they are known."""
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, ValueError) as error:
        raise ArtifactError(f"model: expected one whose shapes can be inferred, got {error}") from error
    known: dict[str, _Tensor] = {}
    for graph in _graphs(inferred.graph):
        for item in graph.initializer:
            known[item.name] = _Tensor(item.data_type, len(item.dims))
        for value in [*graph.value_info, *graph.input, *graph.output]:
            tensor = value.type.tensor_type
            rank = len(tensor.shape.dim) if tensor.HasField("shape") else None
            known[value.name] = _Tensor(tensor.elem_type, rank)
    return known
