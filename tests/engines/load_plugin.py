"""Load the plugin library into a real TensorRT: its lean runtime, or TensorRT-RTX. What happened, as JSON.

    python tests/engines/load_plugin.py MODULE LIBRARY HOW [MODEL]

Run with the folder of one TensorRT on PYTHONPATH. HOW: "registry" loads it as TensorRT does, "dlopen" as
Triton and DeepStream do. A MODEL is parsed at the end, which TensorRT-RTX does not survive where it finds a
plugin.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

trt: Any = importlib.import_module(sys.argv[1])
FIELDS: dict[str, dict[str, list[int]]] = {
    "good": {"output_size": [32, 100], "interpolation": [1], "padding": [2], "homogeneous": [1]},
    "no size": {"interpolation": [1]},
    "bad padding": {"output_size": [32, 100], "padding": [7]},
    "cubic volume": {"output_size": [4, 5, 6], "interpolation": [2]},
    "misspelt": {"output_size": [32, 100], "intrepolation": [1]},
}


class Recorder(trt.IErrorRecorder):  # type: ignore[misc]
    """Keeps what is reported to the plugin registry."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def get_num_errors(self) -> int:
        return len(self.messages)

    def get_error_code(self, index: int) -> Any:
        return trt.ErrorCodeTRT.UNSPECIFIED_ERROR

    def get_error_desc(self, index: int) -> str:
        return self.messages[index]

    def has_overflowed(self) -> bool:
        return False

    def clear(self) -> None:
        self.messages.clear()

    def report_error(self, code: Any, message: str) -> bool:
        self.messages.append(message)
        return False


def created(creator: Any, fields: dict[str, list[int]]) -> bool:
    arrays = {name: np.array(values, np.int32) for name, values in fields.items()}
    listed = [trt.PluginField(name, array, trt.PluginFieldType.INT32) for name, array in arrays.items()]
    collection = trt.PluginFieldCollection(listed)
    return creator.create_plugin("node", collection, trt.TensorRTPhase.BUILD) is not None


def main() -> None:
    """Load, create plugins from fields good and bad, and parse."""
    library, how, *models = sys.argv[2:]
    registry, recorder = trt.get_plugin_registry(), Recorder()
    registry.error_recorder = recorder
    if how == "registry":
        loaded = registry.load_library(library) is not None
    else:
        loaded = ctypes.CDLL(library) is not None
    creators = [item for item in registry.all_creators if item.plugin_namespace == "stn_deploy"]
    result: dict[str, Any] = {
        "version": trt.__version__,
        "loaded": loaded,
        "messages": list(recorder.messages),
        "creators": {item.name: [field.name for field in item.field_names] for item in creators},
        "created": {},
    }
    for creator in creators:
        if creator.name == "ThetaGridSample":
            for case, fields in FIELDS.items():
                recorder.clear()
                result["created"][case] = [created(creator, fields), list(recorder.messages)]
    registry.error_recorder = None
    print(json.dumps(result), flush=True)
    for model in models:
        logger = trt.Logger(trt.Logger.VERBOSE)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parsed = trt.OnnxParser(network, logger).parse(Path(model).read_bytes())
        print(f"parsed: {parsed}", flush=True)


if __name__ == "__main__":
    main()
