"""Our operations as plugins of ``tensorrt.plugin``: TensorRT stores their kernel's PTX inside the engine.

TensorRT asks for shapes, types and, once for each combination of types, a kernel and how to launch it. What
is raised here it prints and swallows; so it is kept, for those who started the build to raise again.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import GenericAlias
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError, EngineError
from stn_deploy.plugins.ahead_of_time.bindings import mended_size, python_plugins, reads_arrays
from stn_deploy.plugins.ahead_of_time.node import ATTRIBUTES, KERNELS, Node
from stn_deploy.plugins.ahead_of_time.ptx import Compiled, compiled
from stn_deploy.plugins.ahead_of_time.symbolic import launch_parameters
from stn_deploy.plugins.launch.plan import ARGUMENTS, kernel_for

NAMESPACE = "stn_deploy"
_TYPES = {"FLOAT": "f32", "HALF": "f16", "BF16": "bf16"}
_SHORT_TYPES = {"FLOAT": "FP32", "HALF": "FP16", "BF16": "BF16"}
"""By the names of TensorRT's DataType: the elements of kernels, and what autotuning calls the type."""
_REGISTERED: WeakKeyDictionary[Any, Registration] = WeakKeyDictionary()


def is_available(trt: Any) -> bool:
    """Whether a TensorRT takes plugins ahead of time: 10.9 and newer, where it has its Python plugins."""
    return hasattr(trt, "QuickPluginCreationRequest")


def register(trt: Any) -> Registration:
    """Offer our operations to a TensorRT; a second time does nothing more.

    Args:
        trt: the module ``tensorrt``.
    Raises:
        EngineError: this TensorRT cannot take them, or has them from a library already.
    """
    if not is_available(trt):
        raise EngineError(
            f"TensorRT {trt.__version__}: takes no plugins ahead of time; expected 10.9 or newer, or the "
            "plugin as a library: stn-deploy plugin build"
        )
    found = _REGISTERED.get(trt)
    if found is None:
        found = _REGISTERED[trt] = Registration(trt)
    found.offer()
    return found


def withdraw(trt: Any) -> None:
    """Have a TensorRT forget our operations, if it was offered them: a library may bring them, or nothing."""
    if trt in _REGISTERED:
        _REGISTERED[trt].withdraw()


class Registration:
    """What a TensorRT has of ours.

    problems: what was refused since the last `forget`, in words for the user; the first is the cause.
    kernels: that TensorRT was given since then, the last ones first.
    """

    def __init__(self, trt: Any) -> None:
        """Describe the operations to ``tensorrt.plugin``, which registers a creator for each."""
        self._offered = False
        self.problems: list[str] = []
        self.kernels: list[Compiled] = []
        self._registry = trt.get_plugin_registry()
        self._release = tuple(int(part) for part in re.findall(r"\d+", str(trt.__version__)))
        self._plugin = python_plugins(trt)
        self._reads_arrays = reads_arrays(trt)
        self._expect_room()
        for op_type in ATTRIBUTES:
            self._describe(op_type)
        self._creators = [self._registry.get_creator(op_type, "1", NAMESPACE) for op_type in ATTRIBUTES]
        if None in self._creators:
            raise EngineError(
                f"TensorRT {trt.__version__} does not register plugins of the namespace {NAMESPACE}"
            )
        self._offered = True

    def offer(self) -> None:
        """Have TensorRT's registry find our operations."""
        if not self._offered:
            self._expect_room()
            for creator in self._creators:
                self._registry.register_creator(creator, NAMESPACE)
            self._offered = True

    def withdraw(self) -> None:
        """Have the registry forget them."""
        if self._offered:
            for creator in self._creators:
                self._registry.deregister_creator(creator)
            self._offered = False

    def forget(self) -> None:
        """Begin another build."""
        self.problems.clear()
        self.kernels.clear()

    def _expect_room(self) -> None:
        """The registry keeps one plugin of a name, the first, and is silent about the second."""
        there = [name for name in ATTRIBUTES if self._registry.get_creator(name, "1", NAMESPACE) is not None]
        if there:
            raise EngineError(
                f"plugin: a library has brought {' and '.join(there)} into this process; begin a new one, or "
                "build with that library"
            )

    def _describe(self, op_type: str) -> None:
        """What becomes of shapes and types, which types to try, and the kernel."""
        plugin = self._plugin
        inputs, _, _ = ARGUMENTS[KERNELS[op_type]]
        name = f"{NAMESPACE}::{op_type}"

        def describe(*tensors: Any, **attributes: NDArray[np.int32]) -> Any:
            node, shapes = self._checked(op_type, tensors, attributes)
            n, c = shapes["source"][:2]
            size = shapes["grid"][1:-1] if "grid" in shapes else node.output_size
            if n.is_fake:
                # Only the type is asked for. Of whole numbers TensorRT 10.9 to 10.14 would make expressions
                # with the builder of an earlier call, which is gone by now.
                size = [n] * len(size)
            return plugin.from_shape_expr((n, c, *size), dtype=tensors[0].dtype)

        def tune(*_: Any) -> Any:
            types = "|".join(_SHORT_TYPES.values())
            listed = [types, *["FP32"] * (len(inputs) - 1), types]
            return [plugin.AutoTuneCombination(", ".join(listed), "LINEAR")]

        def kernel(*arguments: Any) -> Any:
            tensors, values = arguments[: len(inputs)], arguments[len(inputs) : -2]
            attributes = dict(zip(ATTRIBUTES[op_type], values, strict=True))
            node, shapes = self._checked(op_type, tensors, attributes)
            element = _TYPES[tensors[0].dtype.name]
            chosen = kernel_for(KERNELS[op_type], node.sampling._replace(element=element))
            text = compiled(chosen, self._release)
            self.kernels.insert(0, text)
            return text.name, text.text, *launch_parameters(plugin, node, shapes)

        tensors = dict.fromkeys(inputs, plugin.TensorDesc)
        attributes = dict.fromkeys(ATTRIBUTES[op_type], NDArray[np.int32])
        outputs = {"outputs": GenericAlias(tuple, (plugin.TensorDesc,))}
        launched = GenericAlias(tuple, (str, str, plugin.KernelLaunchParams, plugin.SymIntExprs))
        wrapped = self._with_signature(describe, {**tensors, **attributes}, plugin.TensorDesc)
        try:
            plugin.register(name)(wrapped)
        except ValueError as error:
            raise EngineError(f"TensorRT has a plugin {name} that is not of this package: {error}") from error
        combinations = GenericAlias(list, (plugin.AutoTuneCombination,))
        plugin.autotune(name)(self._with_signature(tune, {**tensors, **outputs}, combinations))
        called = {**tensors, **attributes, **outputs, "tactic": int}
        plugin.aot_impl(name)(self._with_signature(kernel, called, launched))

    def _checked(
        self, op_type: str, tensors: tuple[Any, ...], attributes: dict[str, NDArray[np.int32]]
    ) -> tuple[Node, dict[str, list[Any]]]:
        """The node, and the lengths of its inputs as expressions."""
        inputs, _, _ = ARGUMENTS[KERNELS[op_type]]
        named = dict(zip(inputs, tensors, strict=True))
        for name, tensor in named.items():
            allowed = list(_TYPES) if name == "source" else ["FLOAT"]
            if tensor.dtype.name not in allowed:
                raise ArgumentError(f"{name}: expected {' or '.join(allowed)}, got {tensor.dtype.name}")
        shapes = {name: list(tensor.shape_expr) for name, tensor in named.items()}
        lengths = {name: [_length(item) for item in shape] for name, shape in shapes.items()}
        values = {name: np.ravel(value).tolist() for name, value in attributes.items()}
        if "output_size" in values and not self._reads_arrays:
            values["output_size"] = mended_size(values["output_size"], lengths["basis"][:1])
        node = Node.of(op_type, len(shapes["source"]) - 2, values)
        early = any(item.is_fake for item in shapes["source"])  # TensorRT asks for the type first
        node.expect_shapes(lengths, early=early)
        return node, shapes

    def _with_signature(self, call: Callable[..., Any], arguments: dict[str, Any], returns: Any) -> Any:
        """A function that keeps what it raises; TensorRT reads from its signature how to call it."""

        def keeping(*positional: Any, **named: Any) -> Any:
            try:
                return call(*positional, **named)
            except Exception as error:
                if str(error) not in self.problems:
                    self.problems.append(str(error))
                raise

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind, annotation=item) for name, item in arguments.items()]
        keeping.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
        return keeping


def _length(expression: Any) -> int | None:
    """Of a dimension, where it is known while the engine is built."""
    known = not expression.is_fake and expression.is_constant
    return int(expression.constant_value()) if known else None
