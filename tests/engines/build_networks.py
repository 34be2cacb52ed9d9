"""Build models of any inputs in a process of its own: jobs as JSON in, errors out, None where all went well.

Run with the folder of one TensorRT-RTX on PYTHONPATH. A job has the fields model and shapes, the latter the
smallest, usual and largest shape of each input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tensorrt_rtx_bindings as trt


def built(model: Path, shapes: dict[str, list[list[int]]]) -> str | None:
    """Why an engine of compute capability 8.6 cannot be built; None where it can."""
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        return "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    profile = builder.create_optimization_profile()
    for name, (smallest, usual, largest) in shapes.items():
        profile.set_shape(name, smallest, usual, largest)
    config.add_optimization_profile(profile)
    engine: Any = builder.build_serialized_network(network, config)
    return None if engine else "no engine"


if __name__ == "__main__":
    jobs = json.load(sys.stdin)
    json.dump([built(Path(job["model"]), job["shapes"]) for job in jobs], sys.stdout)
