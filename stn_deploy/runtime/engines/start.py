"""Starting the engine that was chosen."""

from __future__ import annotations

from stn_deploy.artifact import RectifierSpec
from stn_deploy.errors import EngineError, OutputError
from stn_deploy.runtime.engines import DeviceGraph
from stn_deploy.runtime.engines.choice import EngineChoice
from stn_deploy.runtime.engines.device import Device
from stn_deploy.runtime.engines.engine_file import open_engine
from stn_deploy.runtime.engines.gpu import GpuRectifierEngine
from stn_deploy.runtime.engines.ort_device import OrtDeviceGraph
from stn_deploy.runtime.engines.trt_device import TrtDeviceGraph


def start(
    choice: EngineChoice, artifact: bytes | None, spec: RectifierSpec, *, gpu: int = 0
) -> GpuRectifierEngine:
    """The engine of a choice that is not the CPU.

    Args:
        artifact: bytes of the .onnx file; a built engine needs none. spec: of the model. gpu: its number.
    Raises:
        EngineError, ArtifactError, MissingDependency: it does not start.
        OutputError: the folder for what TensorRT builds cannot be made.
    """
    if choice.file is not None:
        file = open_engine(choice.file, gpu=gpu)
        if file.record.spec.digest != spec.digest:
            raise EngineError(
                f"{choice.file}: was built from {file.record.model}, digest {file.record.spec.digest[:12]}; "
                f"expected one of digest {spec.digest[:12]}"
            )
        return GpuRectifierEngine(lambda device, stream: TrtDeviceGraph(file, device, stream), gpu=gpu)
    if artifact is None:
        raise EngineError("engine: expected the bytes of an .onnx file, got none")
    if choice.cache is not None:
        try:
            choice.cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{choice.cache}: cannot be made ({error.strerror or error})") from error

    def load(device: Device, stream: int) -> DeviceGraph:
        return OrtDeviceGraph(artifact, spec, device, stream, cache=choice.cache)

    return GpuRectifierEngine(load, gpu=gpu)
