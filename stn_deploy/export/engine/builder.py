""".onnx -> engine, by TensorRT or TensorRT-RTX: parse, check, build, and write engine and record together."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from stn_deploy import __version__
from stn_deploy.artifact import EngineRecord, Profile, read_artifact, sidecar_of
from stn_deploy.data import write_together
from stn_deploy.errors import EngineError, OutputError
from stn_deploy.export.engine.network import expect_same_sampling, grid_samples, parse, plugin_layers
from stn_deploy.export.engine.plugin import PluginUse, chosen_plugin, find_plugin
from stn_deploy.export.engine.progress import Compiling, Interrupts, Monitor, Progress, Silent
from stn_deploy.export.engine.refusals import Refusals
from stn_deploy.export.engine.settings import RTX_TARGETS, BuildSettings, profile_for, rtx_targets
from stn_deploy.export.engine.timing_cache import read_timing_cache, write_timing_cache
from stn_deploy.export.passes import inline_function
from stn_deploy.export.passes.products import spell_out_products
from stn_deploy.export.passes.rewrite import precision_of
from stn_deploy.export.passes.weights_only import weights_only
from stn_deploy.runtime.engines.device import find_gpu
from stn_deploy.runtime.engines.libraries import Library, Log, find_any_library

TURING = "7.5"
RTX_HAS_INT8 = (1, 7)
"""From this version on TensorRT-RTX computes in INT8; before it knows INT8 weights alone."""


def build_engine(
    model: Path,
    to: Path,
    settings: BuildSettings | None = None,
    *,
    library: Library | None = None,
    progress: Progress | None = None,
) -> EngineRecord:
    """Build an engine from an exported file, and its record beside it.

    Args:
        model: the .onnx file. to: of the engine; engine and record are both complete or both absent.
        settings: how to build; see `BuildSettings`.
        library: that builds; the installed one by default, TensorRT where both are.
        progress: looks on.
    Returns:
        the record.
    Raises:
        ArtifactError: the model is not an exported rectifier.
        ArgumentError: the library cannot do what the settings ask.
        MissingDependency: no library is installed, or TensorRT without cuda-bindings.
        EngineError: the file is refused, there is no GPU for TensorRT, or the build fails.
        OutputError: engine, record or timing cache cannot be written.
    """
    settings = settings or BuildSettings()
    library = library or find_any_library()
    settings.expect_of(library)
    data, spec = read_artifact(model)
    _expect_room(model, to)
    gpu = find_gpu() if library.name == "tensorrt" else None
    targets = (gpu.compute_capability,) if gpu else settings.compute_capabilities
    found = find_plugin(library, settings, gpu and gpu.compute_capability, Compiling(progress or Silent()))

    with (
        Interrupts() as interrupts,
        Refusals(library) as refusals,
        chosen_plugin(library, settings, found, refusals) as plugin,
    ):
        log = Log(library.trt)
        builder = _builder(library, log)
        original = onnx.load_from_string(data)
        sizes = profile_for(original, settings.profile)
        changed = _changed(original, plugin, library, targets)
        network, parser = parse(library, builder, changed.SerializeToString(), log)
        _expect_as_chosen(library, network, changed, plugin)

        config = builder.create_builder_config()
        _configure(library, builder, config, settings, sizes, log)
        if gpu is None and targets:
            _aim(library, config, targets)
        monitor = Monitor(library.trt, progress or Silent(), interrupts)
        config.progress_monitor = monitor.monitor
        plan = builder.build_serialized_network(network, config)
        monitor.reraise()
        if plan is None:
            raise EngineError(f"{library.name} {library.version} cannot build {model}: {log.last()}")
    del parser  # it owned the weights until here

    built = bytes(memoryview(plan))
    record = EngineRecord(
        backend=library.name,
        version=library.version,
        gpu=gpu.name if gpu else None,
        compute_capabilities=targets or RTX_TARGETS,
        hardware_compatible=settings.hardware_compatible or not targets,
        version_compatible=settings.version_compatible,
        precision=engine_precision(changed),
        profile=sizes,
        workspace=settings.workspace,
        plugin=plugin.record(),
        model=model.name,
        spec=spec,
        sha256=hashlib.sha256(built).hexdigest(),
        size=len(built),
        layers=tuple(
            {"name": name, "interpolation": interpolation, "padding": padding}
            for name, (interpolation, padding, _) in grid_samples(library, network)
        ),
        stn_deploy=__version__,
    )
    _write(to, built, record)
    if settings.timing_cache is not None:
        write_timing_cache(config, settings.timing_cache)
    return record


def engine_precision(model: ModelProto) -> str:
    """`precision_of` a file, told apart: int8, or int8 weights where activations are not quantised."""
    found = precision_of(model)
    whole = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return "int8 weights" if found == "int8" and not whole else found


def _builder(library: Library, log: Log) -> Any:
    try:
        return library.trt.Builder(log.logger)
    except (TypeError, RuntimeError) as error:  # pybind11's way to say that it returned nothing
        raise EngineError(f"{library.name} {library.version} does not start: {log.last()}") from error


def _changed(model: ModelProto, plugin: PluginUse, library: Library, targets: tuple[str, ...]) -> ModelProto:
    """The file as this plugin, library and GPU need it."""
    if plugin.change and model.functions:
        model = plugin.change(model)
    if library.name == "tensorrt-rtx":
        if library.release < RTX_HAS_INT8 and engine_precision(model) == "int8":
            model = weights_only(model)
        if TURING in targets:  # no float32 matrix products there, but convolutions and sums
            model = spell_out_products(inline_function(model) if model.functions else model)
    return model


def _expect_as_chosen(library: Library, network: Any, model: ModelProto, plugin: PluginUse) -> None:
    """The parser may not have taken another road than the one that was chosen."""
    found = plugin_layers(network)
    if plugin.used and not found:
        raise EngineError(
            f"plugin: {library.name} {library.version} passed it over; expected a plugin layer, got none: "
            "the file has no node that it could take; export it again, with its function kept"
        )
    if found and not plugin.used:
        raise EngineError(f"plugin: expected none, got the layers {', '.join(found)}")
    expect_same_sampling(library, network, model, plugin=plugin.used)


def _configure(
    library: Library, builder: Any, config: Any, settings: BuildSettings, sizes: Profile, log: Log
) -> None:
    trt = library.trt
    profile = builder.create_optimization_profile()
    for name, shapes in sizes.shapes().items():
        profile.set_shape(name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"{library.name} refuses the sizes {sizes}: {log.last()}")
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # TF32 keeps 10 bits: a grid that is off by up to a quarter of a pixel on a canvas 1024 wide.
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)
    if settings.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace << 20)
    if settings.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings.timing_cache is not None:
        read_timing_cache(library, config, settings.timing_cache, log)


def _aim(library: Library, config: Any, targets: tuple[str, ...]) -> None:
    """Say which GPUs the engine is for; none of them need be here."""
    names = rtx_targets(library)
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(getattr(library.trt.ComputeCapability, names[target]), index)


def _expect_room(model: Path, to: Path) -> None:
    if to.resolve() == model.resolve():
        raise OutputError(f"{to}: is the model itself; name another file for the engine")
    for path in (to, sidecar_of(to)):
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; expected the name of a file to write")


def _write(to: Path, built: bytes, record: EngineRecord) -> None:
    try:
        write_together({to: built, sidecar_of(to): record.to_json().encode()})
    except OSError as error:
        raise OutputError(f"{to}: cannot be written ({error.strerror or error})") from error
