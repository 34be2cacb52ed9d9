"""The localisation network in INT8: quantisers around its large layers, ranges from real crops."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from stn_deploy.artifact import SIZES, THUMBNAILS, localisation_model
from stn_deploy.errors import ArtifactError, MissingDependency
from stn_deploy.export.crops import Crops
from stn_deploy.export.passes.layers import LAYERS, expect_float32, layers_of, network_of
from stn_deploy.export.passes.nodes import expect_function, nodes_of

PERCENTILE = 99.99
"""Of the absolute values of an activation; larger ones are cut. Of 99.9, 99.95, 99.99 and 100 the one with
the smallest error of theta: 127 steps out to the largest value of all are too coarse for the others."""

_Feed = dict[str, NDArray[Any]]
_WRITTEN = "_DequantizeLinear_Output"


def int8(model: ModelProto, crops: Crops) -> ModelProto:
    """The model with the large layers of its localisation network in INT8.

    Quantised by onnxruntime.quantization, as TensorRT wants it: pairs of QuantizeLinear and DequantizeLinear,
    zero points 0, one scale for an activation and one for each output channel of a weight, which is stored in
    int8; biases stay float32. Also in float32 stay the first convolution (few channels, so nothing is gained,
    and it sees the picture), the dense layers behind the first (small, and they place the points), and what
    has no weights.

    Args:
        crops: on which the ranges are measured; some hundred. The same crops give the same bytes.
    Raises:
        ArtifactError: there is no network in float32 and of any batch, nothing in it to quantise, or the
            function was stripped.
        MissingDependency: onnxruntime is not installed.
    """
    expect_float32(model)
    if nodes_of(model):
        expect_function(model)  # to quantise is to run
    network = network_of(model)
    chosen = _large_layers(network)
    if not chosen:
        raise ArtifactError(
            "model: expected a convolution behind the first, or a dense layer behind convolutions, to "
            "quantise, found none; float16 fits such a network"
        )
    ranges = _ranges(model, network, crops)
    _share_with_relu(ranges, network)
    quantised = _quantised(model, [node.name for node in chosen], ranges)
    _name_weights(quantised)
    for name in ("producer_name", "producer_version", "doc_string", "ir_version"):
        setattr(quantised, name, getattr(model, name))
    for name in ("metadata_props", "functions"):
        quantised.ClearField(name)
        getattr(quantised, name).extend(getattr(model, name))
    del quantised.graph.value_info[:]
    quantised.graph.value_info.extend(model.graph.value_info)
    quantised.graph.name = model.graph.name
    return quantised


def _large_layers(network: Sequence[NodeProto]) -> list[NodeProto]:
    """Convolutions behind another one, and dense layers that read what convolutions found."""
    behind: dict[str, set[str]] = {}
    chosen = []
    for node in network:
        kinds = set[str]().union(*(behind.get(name, set()) for name in node.input))
        if node.op_type in LAYERS:
            if kinds == {"Conv"}:
                chosen.append(node)
            kinds = {node.op_type}
        behind |= dict.fromkeys(node.output, kinds)
    return chosen


def _ranges(model: ModelProto, network: Sequence[NodeProto], crops: Crops) -> dict[str, float]:
    """How far from 0 each activation of the network goes."""
    try:
        from onnxruntime.quantization import CalibrationMethod, create_calibrator
    except ImportError as error:
        raise MissingDependency.of("onnxruntime", "export") from error
    batch = next(value for value in model.graph.value_info if value.name == THUMBNAILS)
    if batch.type.tensor_type.shape.dim[0].HasField("dim_value"):
        raise ArtifactError("model: expected a batch of any size, found a frozen one; quantise first")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        part = Path(folder, "localisation.onnx")
        part.write_bytes(localisation_model(model.SerializeToString(deterministic=True)))
        calibrator = create_calibrator(
            part,
            op_types_to_calibrate=sorted({node.op_type for node in network}),
            augmented_model_path=str(Path(folder, "augmented.onnx")),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"percentile": PERCENTILE},
        )
        for each in crops.batches():
            calibrator.collect_data(_Feeds([{THUMBNAILS: each.thumbnails, SIZES: each.sizes}]))
        found = calibrator.compute_data()
    return {name: float(np.abs(np.asarray(found[name].range_value)).max()) for name in found}


def _share_with_relu(ranges: dict[str, float], network: Sequence[NodeProto]) -> None:
    """What goes into a rectified linear unit gets the range of what comes out: the rest is cut anyway."""
    makers = {name for node in layers_of(network) for name in node.output}
    for node in network:
        if node.op_type == "Relu" and node.input[0] in makers:
            ranges[node.input[0]] = ranges[node.output[0]]


def _quantised(model: ModelProto, layers: list[str], ranges: Mapping[str, float]) -> ModelProto:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    marked = ModelProto()
    marked.CopyFrom(model)
    # Without this mark the library advises to run its own optimiser first, through the root logger.
    marked.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(marked, before)
        quantize_static(
            before,
            after,
            _Feeds([_smallest_input(model)]),  # asked for, but each range is given
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(LAYERS),
            nodes_to_quantize=layers,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,  # TensorRT takes no int32
                "TensorQuantOverrides": {
                    name: [{"rmin": np.float32(-reach), "rmax": np.float32(reach)}]
                    for name, reach in ranges.items()
                },
            },
        )
        return onnx.load(after)


def _smallest_input(model: ModelProto) -> _Feed:
    feed = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [dim.dim_value or 2 for dim in kind.shape.dim]
        feed[value.name] = np.ones(shape, helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return feed


def _name_weights(model: ModelProto) -> None:
    """The dequantised weight takes the name of the weight, by which it can be found again."""
    stored = {item.name for item in model.graph.initializer}
    renamed = {}
    for node in model.graph.node:
        name = node.output[0].removesuffix(_WRITTEN)
        if node.op_type == "DequantizeLinear" and node.input[0] in stored and name not in stored:
            renamed[node.output[0]] = name
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = renamed.get(name, name)


class _Feeds:
    """Inputs one after another, as the calibrators of ONNX Runtime ask for them."""

    def __init__(self, feeds: Sequence[_Feed]) -> None:
        self._feeds: Iterator[_Feed] = iter(feeds)

    def get_next(self) -> _Feed | None:
        """The next input; None at the end."""
        return next(self._feeds, None)
