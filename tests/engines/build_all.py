"""Build engines in a process of its own, and read the parsed network back: jobs.json in, results.json out.

    python tests/engines/build_all.py FOLDER

Run with the folder of one engine library on PYTHONPATH. A job has the fields model, engine, batch, canvas and
capabilities. A result has error (None where all went well), record, samples (interpolation, padding and
align_corners of each grid sample) and plugins (names of plugin layers). What the network is, is asked of the
library here, without the code that is tested.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from stn_deploy.artifact import Profile
from stn_deploy.errors import StnDeployError
from stn_deploy.export.engine import BuildSettings, build_engine
from stn_deploy.runtime.engines.libraries import find_library


def inspected(trt: Any, model: Path) -> dict[str, Any]:
    """Grid samples and plugin layers of a file, as the library's own parser has them."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        return {"samples": None, "plugins": None}
    samples, plugins = [], []
    for layer in map(network.get_layer, range(network.num_layers)):
        if layer.type == trt.LayerType.GRID_SAMPLE:
            layer.__class__ = trt.IGridSampleLayer
            samples.append((layer.interpolation_mode.name, layer.sample_mode.name, layer.align_corners))
        elif "PLUGIN" in layer.type.name:
            plugins.append(layer.name)
    return {"samples": samples, "plugins": plugins}


def main() -> None:
    """Do all jobs."""
    library = find_library("tensorrt-rtx")
    results = []
    folder = Path(sys.argv[1])
    for job in json.loads((folder / "jobs.json").read_text()):
        result: dict[str, Any] = {"version": library.version, "error": None, "record": None}
        settings = BuildSettings(
            profile=Profile.parse(job["batch"], job["canvas"]),
            compute_capabilities=tuple(job["capabilities"]),
        )
        try:
            record = build_engine(Path(job["model"]), Path(job["engine"]), settings, library=library)
            result["record"] = record.to_values()
        except StnDeployError as error:
            result["error"] = f"{type(error).__name__}: {error}"
        results.append(result | inspected(library.trt, Path(job["model"])))
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
