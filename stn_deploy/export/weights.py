"""The weights in an exported file, whatever their precision, as float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper


def stored_weights(model: ModelProto) -> dict[str, NDArray[np.float32]]:
    """All numbers that the file holds, by name: float16 widened, INT8 times its scale.

    A quantised weight has the name of what its DequantizeLinear gives, which is that of the weight.
    """
    stored = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    weights = {name: values.astype(np.float32) for name, values in stored.items() if values.dtype.kind == "f"}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            values, scale, zero = (stored[name].astype(np.float32) for name in node.input)
            axis = next(
                (helper.get_attribute_value(each) for each in node.attribute if each.name == "axis"), 1
            )
            shape = np.ones(values.ndim, int)
            shape[axis] = scale.size  # 1 for one scale for all
            weights[node.output[0]] = (values - zero.reshape(shape)) * scale.reshape(shape)
    return weights
