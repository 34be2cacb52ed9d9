"""Opening a built engine: is it whole, does it fit this machine, and if not, how to build one that does."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stn_deploy.artifact import BACKENDS, EngineRecord, read_artifact, read_engine, read_record
from stn_deploy.errors import ArtifactError, EngineError, MissingDependency, StnDeployError
from stn_deploy.runtime.engines.device import Gpu, find_gpu
from stn_deploy.runtime.engines.libraries import find_library, version_numbers


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What engines can run on here.

    gpu: None where there is none. versions: of each installed library, by its name. reasons: why a library or
    the GPU is missing, by its name (``gpu``).
    """

    gpu: Gpu | None
    versions: dict[str, str]
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EngineFile:
    """An engine that fits this machine: its bytes and its record."""

    path: Path
    data: bytes
    record: EngineRecord


@dataclass(frozen=True, kw_only=True)
class FoundEngine:
    """An engine beside a model. refused: why it cannot run here; None where it can."""

    path: Path
    refused: str | None


def this_machine(*backends: str, gpu: int = 0) -> Machine:
    """The GPU and the libraries that are here; nothing is raised for what is not.

    Args:
        backends: names of the libraries to look for; both by default. gpu: number of the GPU.
    """
    reasons, versions = {}, {}
    found = None
    try:
        found = find_gpu(gpu)
    except (EngineError, MissingDependency) as error:
        reasons["gpu"] = str(error)
    for name in backends or BACKENDS:
        try:
            versions[name] = find_library(name).version
        except (EngineError, MissingDependency) as error:
            reasons[name] = str(error)
    return Machine(gpu=found, versions=versions, reasons=reasons)


def open_engine(path: Path, machine: Machine | None = None, *, gpu: int = 0) -> EngineFile:
    """An engine, if it is whole and fits.

    Args:
        path: of the engine; its record stands beside it. machine: that it is to run on; by default this one,
            with the GPU of the number ``gpu``.
    Raises:
        ArtifactError: no such engine, no record, or damaged.
        EngineError: it was built for another version or another GPU; the message has the command that builds
            it for this one.
        MissingDependency: the library that runs it, or cuda-bindings, is not installed.
    """
    data, record = read_engine(path)
    expect_fit(path, record, this_machine(record.backend, gpu=gpu) if machine is None else machine)
    return EngineFile(path=path, data=data, record=record)


def expect_fit(path: Path, record: EngineRecord, machine: Machine) -> None:
    """Check an engine's record against a machine; errors as for `open_engine`."""
    version = machine.versions.get(record.backend)
    if version is None:
        reason = machine.reasons.get(record.backend, f"{record.backend} is not installed")
        raise MissingDependency(f"{path}: was built for {record.built_for()}; {reason}")
    if machine.gpu is None:
        reason = machine.reasons.get("gpu", "there is no GPU")
        raise EngineError(f"{path}: was built for {record.built_for()}; {reason}")
    here = f"{record.backend} {version}, compute capability {machine.gpu.compute_capability}"
    problem = None
    if not _version_fits(record, version):
        problem = "another version of the library"
    elif not _gpu_fits(record, machine.gpu.compute_capability):
        problem = "another GPU"
    if problem:
        command = record.rebuild_command(path, compute_capability=machine.gpu.compute_capability)
        raise EngineError(
            f"{path}: was built for {problem}: {record.built_for()}; expected here: {here} "
            f"({machine.gpu.name}). Build it again with: {command}"
        )


def _version_fits(record: EngineRecord, version: str) -> bool:
    """Engines run in the version that built them; version-compatible ones of TensorRT in newer ones, too.

    TensorRT 11 also runs those of TensorRT 10. Source: NVIDIA's support matrix, engine portability.
    """
    built, here = version_numbers(record.version), version_numbers(version)
    if built[:3] == here[:3]:
        return True
    if not record.version_compatible or record.backend != "tensorrt" or here < built:
        return False
    return here[0] == built[0] or (built[0], here[0]) == (10, 11)


def _gpu_fits(record: EngineRecord, compute_capability: str) -> bool:
    if compute_capability in record.compute_capabilities:
        return True
    return record.hardware_compatible and version_numbers(compute_capability) >= (8, 0)


def engines_beside(
    model: Path, engines: Sequence[Path] = (), *, machine: Machine | None = None
) -> list[FoundEngine]:
    """The engines that were built from a model, those that this machine can run and those that it cannot.

    Args:
        model: an exported .onnx file; engines in its folder whose record has its digest are found.
        engines: more of them, wherever they are.
        machine: that they are to run on; this one by default.
    Raises:
        ArtifactError: the model cannot be read, or one of ``engines`` has no record.
        EngineError: one of ``engines`` was built from another model.
    """
    _, spec = read_artifact(model)
    records = {path: read_record(path) for path in engines}
    for path, record in records.items():
        if record.spec.digest != spec.digest:
            raise EngineError(
                f"{path}: was built from {record.model}, digest {record.spec.digest[:12]}; expected one that "
                f"was built from {model}, digest {spec.digest[:12]}"
            )
    given = {path.resolve() for path in engines}
    beside = _built_from(model.parent, spec.digest)
    records |= {path: record for path, record in beside.items() if path.resolve() not in given}
    here = this_machine(*{record.backend for record in records.values()}) if machine is None else machine
    return [FoundEngine(path=path, refused=_refusal(path, here)) for path in sorted(records)]


def _built_from(folder: Path, digest: str) -> dict[Path, EngineRecord]:
    """Engines in a folder whose record has a digest; other files are passed over."""
    found = {}
    for sidecar in folder.glob("*.json"):
        engine = sidecar.with_suffix("")
        if engine.is_file():
            with contextlib.suppress(ArtifactError):
                record = read_record(engine)
                if record.spec.digest == digest:
                    found[engine] = record
    return found


def _refusal(path: Path, machine: Machine) -> str | None:
    try:
        open_engine(path, machine)
    except StnDeployError as error:
        return str(error)
    return None
