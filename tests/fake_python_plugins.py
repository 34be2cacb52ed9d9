"""``tensorrt.plugin`` without TensorRT: as much of it as an ahead-of-time plugin is asked for in a build.

NVIDIA's own module is driven in tests/parity/test_ahead_of_time.py; this one lets whole builds run.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, shape_inference

_DTYPES = {TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF", TensorProto.BFLOAT16: "BF16"}


class Length:
    """A constant, or None where it is dynamic; so are sums and products with it."""

    is_fake = False

    def __init__(self, value: int | None) -> None:
        self.value = value

    @property
    def is_constant(self) -> bool:
        return self.value is not None

    def constant_value(self) -> int:
        assert self.value is not None
        return self.value

    def __mul__(self, other: Length | int) -> Length:
        return _of(lambda a, b: a * b, self, other)

    def __floordiv__(self, other: Length | int) -> Length:
        return _of(lambda a, b: a // b, self, other)


def _of(operation: Callable[[int, int], int], *both: Length | int) -> Length:
    values = [each.value if isinstance(each, Length) else each for each in both]
    return Length(None if None in values else operation(*values))  # type: ignore[arg-type]


class FakePythonPlugins(ModuleType):
    """Stands for the module ``tensorrt.plugin``; registers creators with the registry of a fake TensorRT."""

    TensorDesc = AutoTuneCombination = KernelLaunchParams = SimpleNamespace
    SymIntExprs = SimpleNamespace(from_tuple=list)
    ShapeExpr = SymInt32 = staticmethod(lambda value: value if isinstance(value, Length) else Length(value))

    def __init__(self, registry: Any) -> None:
        super().__init__("tensorrt.plugin")
        self._registry = registry
        self.described: dict[str, Callable[..., Any]] = {}
        self.kernels: dict[str, Callable[..., Any]] = {}

    def cdiv(self, a: Any, b: Any) -> Length:
        return _of(lambda x, y: -(-x // y), a, b)

    def max(self, a: Any, b: Any) -> Length:
        return _of(max, a, b)

    def min(self, a: Any, b: Any) -> Length:
        return _of(min, a, b)

    def from_shape_expr(self, shape: Any, dtype: Any) -> SimpleNamespace:
        return SimpleNamespace(shape_expr=shape, dtype=dtype)

    def register(self, name: str) -> Callable[..., Any]:
        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            namespace, _, op_type = name.partition("::")
            creator = SimpleNamespace(
                name=op_type, plugin_version="1", plugin_namespace=namespace, make=self._made
            )
            self._registry.register_creator(creator, namespace)
            self.described[op_type] = function
            return function

        return decorator

    def autotune(self, name: str) -> Callable[..., Any]:
        return lambda function: function

    def aot_impl(self, name: str) -> Callable[..., Any]:
        return lambda function: self.kernels.setdefault(name.partition("::")[2], function)

    def _made(self, model: ModelProto, node: NodeProto) -> tuple[str, str]:
        """Name and text of the kernel of a node, as the walk through TensorRT ends."""
        inferred = shape_inference.infer_shapes(model, data_prop=True).graph
        known = [*inferred.value_info, *inferred.input, *inferred.output]
        values = {value.name: value.type.tensor_type for value in known}
        tensors = []
        for name in node.input:
            constants = [each for each in inferred.initializer if each.name == name]
            kind = constants[0].data_type if constants else values[name].elem_type
            shape = (
                list(constants[0].dims)
                if constants
                else [dim.dim_value if dim.HasField("dim_value") else None for dim in values[name].shape.dim]
            )
            dtype = SimpleNamespace(name=_DTYPES[kind])
            tensors.append(SimpleNamespace(dtype=dtype, shape_expr=[Length(each) for each in shape]))
        said = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        names = ("interpolation", "padding", "align_corners", "homogeneous", "output_size")
        attributes = {name: np.ravel(said[name]).astype(np.int32) for name in names if name in said}
        output = self.described[node.op_type](*tensors, **attributes)
        kernel = self.kernels[node.op_type](*tensors, *attributes.values(), [output], 0)
        return kernel[0], kernel[1]
