"""Walk the way that TensorRT goes with an ahead-of-time plugin, as it builds: jobs as JSON in, results out.

Run with the folder of one lean runtime on PYTHONPATH. The registry, the creators, fields and plugins are the
runtime's own, tensorrt.plugin is NVIDIA's code; what the lean runtime lacks, because only a builder has it
(tensors of a network, formats, expressions of lengths, the launch), is stood in for here.

A job has op_type, attributes (in the order in which a parser gives them), inputs (of each its type and its
lengths: a number, or the letter of a dynamic one) and lengths (for each letter its value). A result has error
and problems; or name, ptx, blocks, threads, shared, scalars, output (type and lengths) and combinations.
"""

from __future__ import annotations

import importlib
import json
import operator
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from stn_deploy.plugins.ahead_of_time import register

trt: Any = importlib.import_module("tensorrt_lean_bindings")

OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "SUM": operator.add,
    "PROD": operator.mul,
    "SUB": operator.sub,
    "MAX": max,
    "MIN": min,
    "FLOOR_DIV": operator.floordiv,
    "CEIL_DIV": lambda a, b: -(-a // b),
    "EQUAL": lambda a, b: int(a == b),
    "LESS": lambda a, b: int(a < b),
}


class Expression:
    """A length: constant where both sides are, as in TensorRT, else known to the running engine alone."""

    def __init__(self, value: int, constant: bool) -> None:
        self.value, self.constant = value, constant

    def is_constant(self) -> bool:
        return self.constant

    def get_constant_value(self) -> int:
        assert self.constant
        return self.value


class Builder:
    """Of expressions; a dynamic one has its value already, which nobody may ask for."""

    def constant(self, value: int) -> Expression:
        return Expression(value, True)

    def operation(self, kind: Any, first: Expression, second: Expression) -> Expression:
        value = OPERATIONS[kind.name](first.value, second.value)
        return Expression(value, first.constant and second.constant)


class Gone:
    """A builder that TensorRT has deleted; whoever uses it reads freed memory."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"the builder of an earlier call is asked for {name}")


class Description:
    """Of a tensor, as PluginTensorDesc."""

    def __init__(self) -> None:
        self.dims: tuple[int, ...] = ()
        self.type = self.format = None
        self.scale = 0.0


class DynamicDescription:
    """As DynamicPluginTensorDesc; the lengths are -1 where they are dynamic."""

    def __init__(self, kind: Any, lengths: list[Expression]) -> None:
        self.desc = Description()
        self.desc.dims = tuple(item.value if item.constant else -1 for item in lengths)
        self.desc.type, self.desc.format = kind, trt.TensorFormat.LINEAR
        self.min = self.opt = self.max = tuple(item.value for item in lengths)


class Formats(Enum):
    """As TensorFormat."""

    LINEAR = 0
    HWC = 8


class Scalars(dict[int, Any]):
    """Integers of a launch, as ISymExprs."""

    nbSymExprs = 0  # noqa: N815


def stand_in() -> None:
    """What the lean runtime lacks."""
    trt.ITensor = type("ITensor", (), {})
    trt.TensorFormat = Formats
    trt.IDimensionExpr = Expression
    trt.DimsExprs = lambda count: [None] * count
    trt.PluginTensorDesc = Description
    trt.DynamicPluginTensorDesc = DynamicDescription
    trt.ISymExpr = type("ISymExpr", (), {})
    (folder,) = (path for path in sys.path if (Path(path) / "tensorrt_bindings" / "plugin").is_dir())
    trt.__path__ = [str(Path(folder) / "tensorrt_bindings")]  # import tensorrt.plugin finds NVIDIA's module
    sys.modules["tensorrt"] = trt


def fields_of(attributes: dict[str, Any]) -> tuple[Any, list[Any]]:
    """As a parser writes them: whole numbers are int32, one or many. And what must outlive them."""
    values = {name: np.array(value, np.int32).reshape(-1) for name, value in attributes.items()}
    fields = [trt.PluginField(name, value, trt.PluginFieldType.INT32) for name, value in values.items()]
    return trt.PluginFieldCollection(fields), [values, fields]


def walked(job: dict[str, Any]) -> dict[str, Any]:
    """What TensorRT learns of a node."""
    creator = trt.get_plugin_registry().get_creator(job["op_type"], "1", "stn_deploy")
    request = trt.QuickPluginCreationRequest.STRICT_AOT
    fields, kept = fields_of(job["attributes"])
    plugin = creator.create_plugin(job["op_type"], "stn_deploy", fields, trt.TensorRTPhase.BUILD, request)
    del kept
    kinds = [getattr(trt.DataType, kind) for kind, _ in job["inputs"]]
    builder = Builder()
    # Before 10.15 tensorrt.plugin keeps the builder of an earlier call, which is gone by now.
    importlib.import_module("tensorrt.plugin._tensor").SymIntExpr._exprBuilder = Gone()
    shapes = [
        [Expression(job["lengths"].get(item, item), not isinstance(item, str)) for item in lengths]
        for _, lengths in job["inputs"]
    ]
    output_kinds = plugin.get_output_data_types(kinds, [len(shape) for shape in shapes])
    (output,) = plugin.get_output_shapes(shapes, [], builder)
    tensors = [
        DynamicDescription(*item) for item in zip([*kinds, *output_kinds], [*shapes, output], strict=True)
    ]
    combinations = plugin.get_supported_format_combinations(tensors, len(kinds))
    launch, scalars = SimpleNamespace(), Scalars()
    plugin.configure_plugin(tensors[:-1], tensors[-1:])
    plugin.set_tactic(0)
    plugin = plugin.clone()
    plugin.get_launch_params(shapes, tensors, len(kinds), launch, scalars, builder)
    name, ptx = plugin.get_kernel([item.desc for item in tensors[:-1]], [tensors[-1].desc])
    assert scalars.nbSymExprs == len(scalars)
    assert all(item.dtype.name == "INT32" for item in scalars.values())
    return {
        "name": name,
        "ptx": ptx.decode(),
        "blocks": [launch.grid_x.expr.value, launch.grid_y.expr.value, launch.grid_z.expr.value],
        "threads": [launch.block_x.expr.value, launch.block_y.expr.value, launch.block_z.expr.value],
        "shared": launch.shared_mem.expr.value,
        "scalars": [scalars[index].expr.value for index in range(len(scalars))],
        "output": [output_kinds[0].name, [item.value for item in output]],
        "combinations": [
            [[item.type.name, item.format.name] for item in combinations[start : start + len(tensors)]]
            for start in range(0, len(combinations), len(tensors))
        ],
    }


def main() -> None:
    """Do all jobs."""
    stand_in()
    release = sys.argv[1] if len(sys.argv) > 1 else ""
    if release:  # as another version would have it
        trt.__version__ = release
    registration = register(trt)
    results = []
    for job in json.load(sys.stdin):
        registration.forget()
        try:
            result = walked(job)
        except Exception as error:  # noqa: BLE001, the tests look at it
            result = {"error": str(error), "problems": list(registration.problems)}
        results.append(result)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
