"""An exported file as a network of TensorRT: parsed, and read back to see what the parser made of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from onnx import ModelProto, helper, inliner

from stn_deploy.errors import EngineError
from stn_deploy.runtime.engines.libraries import Library, Log

GridSample = tuple[str, str, bool]
"""Interpolation (nearest, linear, cubic), padding (border, zeros, reflection), align_corners."""

_INTERPOLATION = {"NEAREST": "nearest", "LINEAR": "linear", "CUBIC": "cubic"}
_PADDING = {"CLAMP": "border", "FILL": "zeros", "REFLECT": "reflection"}
_ONNX_MODES = {
    "nearest": "nearest",
    "linear": "linear",
    "bilinear": "linear",
    "cubic": "cubic",
    "bicubic": "cubic",
}


def parse(library: Library, builder: Any, data: bytes, log: Log) -> tuple[Any, Any]:
    """A strongly typed network out of an .onnx file, and the parser, which owns its weights.

    Raises:
        EngineError: the parser refuses the file; the message names the node and the reason.
    """
    trt = library.trt
    # The flag is another bit in each major version; where networks are typed anyway it may be gone.
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(data):
        problems = [_problem(parser.get_error(index)) for index in range(parser.num_errors)]
        raise EngineError(
            f"{library.name} {library.version} cannot parse the file: "
            f"{'; '.join(problems) or log.last()}; export it again, or with --function inline"
        )
    return network, parser


def _problem(error: Any) -> str:
    """Node and reason of a parser's error."""
    name, operator = getattr(error, "node_name", lambda: "")(), getattr(error, "node_operator", lambda: "")()
    where = f"node {name or error.node()}" if error.node() >= 0 else "the model"
    return f"{where}{f' ({operator})' if operator else ''}: {error.desc()}"


def grid_samples(library: Library, network: Any) -> list[tuple[str, GridSample]]:
    """Name and settings of each grid sample of a network, as the library understood them."""
    found = []
    for layer in _layers(network):
        if layer.type == library.trt.LayerType.GRID_SAMPLE:
            layer.__class__ = library.trt.IGridSampleLayer
            settings = (
                _INTERPOLATION[layer.interpolation_mode.name],
                _PADDING[layer.sample_mode.name],
                bool(layer.align_corners),
            )
            found.append((str(layer.name), settings))
    return found


def plugin_layers(network: Any) -> list[str]:
    """Names of the layers that a plugin runs."""
    return [str(layer.name) for layer in _layers(network) if layer.type.name.startswith("PLUGIN")]


def _layers(network: Any) -> list[Any]:
    return [network.get_layer(index) for index in range(network.num_layers)]


def expect_same_sampling(library: Library, network: Any, model: ModelProto, *, plugin: bool) -> None:
    """Check that each GridSample means to the library what it says in the file.

    The parsers of TensorRT up to 11.1 and TensorRT-RTX up to 1.5 read the modes of opset 20 as nearest and
    say nothing.

    Args:
        plugin: whether a plugin takes the nodes that our function defines.
    Raises:
        EngineError: interpolation, padding or corners differ.
    """
    expected = Counter(_in_file(model if plugin else inliner.inline_local_functions(model)))
    found = Counter(settings for _, settings in grid_samples(library, network))
    if expected != found:
        raise EngineError(
            f"{library.name} {library.version} misunderstands GridSample: expected {_listed(expected)}, got "
            f"{_listed(found)}; export with opset 18"
        )


def _in_file(model: ModelProto) -> list[GridSample]:
    found = []
    for node in model.graph.node:
        if node.op_type == "GridSample" and node.domain in ("", "ai.onnx"):
            values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            mode, padding = (
                values.get("mode", b"linear").decode(),
                values.get("padding_mode", b"zeros").decode(),
            )
            found.append((_ONNX_MODES[mode], padding, bool(values.get("align_corners", 0))))
    return found


def _listed(samples: Counter[GridSample]) -> str:
    texts = [
        f"{count} x {interpolation}, {padding}{', aligned corners' if aligned else ''}"
        for (interpolation, padding, aligned), count in sorted(samples.items())
    ]
    return " and ".join(texts) or "none"
