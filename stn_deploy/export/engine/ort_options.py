"""The same engine inside ONNX Runtime: options of its TensorRT execution provider for an exported file."""

from __future__ import annotations

from pathlib import Path

import onnx

from stn_deploy.artifact import read_artifact
from stn_deploy.errors import ArgumentError
from stn_deploy.export.engine.settings import BuildSettings, profile_for
from stn_deploy.plugins.library import named_library
from stn_deploy.plugins.library.recipe import AUTOLOAD

PROVIDER = "TensorrtExecutionProvider"


def ort_options(
    model: Path, settings: BuildSettings | None = None, *, cache: Path | None = None
) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT execution provider, as (PROVIDER, options) among the providers.

    Precisions are in the file, so the provider's own switches for them stay off; so does INT8 calibration.

    Args:
        model: the exported file. settings: as for `build_engine`.
        cache: folder of the engines that ONNX Runtime builds on its first run; beside the model by default.
    Returns:
        name and value of each option, as text.
    Raises:
        ArtifactError: the model is not an exported rectifier.
        ArgumentError: ONNX Runtime has no option for a setting, or the file has another fixed size.
    Source: ONNX Runtime, "TensorRT Execution Provider", configurations.
    """
    settings = settings or BuildSettings()
    data, spec = read_artifact(model)
    sizes = profile_for(onnx.load_from_string(data), settings.profile)
    if settings.compute_capabilities:
        raise ArgumentError("compute capability: ONNX Runtime builds for the GPU it runs on; expected none")
    if settings.version_compatible:
        raise ArgumentError("version compatible: ONNX Runtime's provider has no such option; expected no")
    library = None if settings.plugin == "off" else named_library(settings.plugin_library)
    if settings.plugin == "on" and library is None:
        raise ArgumentError(
            "plugin: expected the library that ONNX Runtime is to load, got none; name it by --plugin-library"
        )
    folder = model.parent / "tensorrt" if cache is None else cache
    options = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_engine_cache_prefix": f"rectifier_{spec.digest[:12]}",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(settings.timing_cache.parent if settings.timing_cache else folder),
        "trt_fp16_enable": "0",
        "trt_int8_enable": "0",
        "trt_engine_hw_compatible": "1" if settings.hardware_compatible else "0",
    }
    for place, name in enumerate(("min", "opt", "max")):
        shapes = {key: values[place] for key, values in sizes.shapes().items()}
        options[f"trt_profile_{name}_shapes"] = ",".join(
            f"{key}:{'x'.join(map(str, shape))}" for key, shape in shapes.items()
        )
    if settings.workspace is not None:
        options["trt_max_workspace_size"] = str(settings.workspace << 20)
    if library is not None:
        # ONNX Runtime opens libraries itself; TensorRT has to, and the one beside ours asks it to.
        beside = library.with_name(AUTOLOAD)
        options["trt_extra_plugin_lib_paths"] = str(beside if beside.is_file() else library)
    return options
