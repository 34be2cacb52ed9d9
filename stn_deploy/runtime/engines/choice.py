"""Which engine runs a model here: TensorRT, CUDA, CPU, in this order; and why no faster one."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stn_deploy.artifact import RectifierSpec, sidecar_of
from stn_deploy.errors import ArgumentError, EngineError, MissingDependency, StnDeployError
from stn_deploy.runtime.engines import Engine
from stn_deploy.runtime.engines.device import has_driver

ENGINES = ("auto", "cpu", "cuda", "tensorrt")
Kind = Literal["cpu", "cuda", "tensorrt"]
_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_NO_GPU = "no NVIDIA GPU is here (no driver shows one in /dev)"


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Which engine, and why.

    kind: what computes. reason: a sentence for the user. file: the built engine; None where ONNX Runtime runs
    the model itself. cache: folder where its TensorRT keeps what it builds.
    """

    kind: Kind
    reason: str
    file: Path | None = None
    cache: Path | None = None


def choose_engine(
    model: Path, engine: str = "auto", *, digest: str = "", driver: Callable[[], bool] = has_driver
) -> EngineChoice:
    """The engine that would run a model; nothing is loaded onto a GPU.

    Where no driver shows a GPU this takes microseconds.

    Args:
        model: an .onnx file, or an engine of ``stn-deploy build``. engine: one of `ENGINES`; "auto" takes the
            fastest that is ready.
        digest: of the model's spec; with it, TensorRT within ONNX Runtime is known to be ready or not.
        driver: says whether there is a GPU.
    Raises:
        ArgumentError: no such engine.
        EngineError, MissingDependency: the engine that was asked for cannot run here; "auto" raises nothing.
    """
    return next(choices(model, engine, digest=digest, driver=driver))


def choices(model: Path, engine: str, *, digest: str, driver: Callable[[], bool]) -> Iterator[EngineChoice]:
    """The engines to try, the fastest first; arguments and errors as for `choose_engine`."""
    if engine not in ENGINES:
        raise ArgumentError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    if is_engine_file(model):
        if engine in ("cpu", "cuda"):
            raise EngineError(
                f"{model}: is an engine, which TensorRT alone runs; expected engine tensorrt or auto, got "
                f"{engine}; give the .onnx file that it was built from"
            )
        yield EngineChoice(kind="tensorrt", reason="TensorRT, for the model is a built engine", file=model)
        return
    if engine == "cpu":
        yield EngineChoice(kind="cpu", reason="CPU, as asked for")
        return
    explicit = engine != "auto"
    if not driver():
        if explicit:
            raise EngineError(
                f"engine {engine}: {_NO_GPU}; expected a GPU and its driver; engine cpu needs none"
            )
        yield EngineChoice(kind="cpu", reason=f"CPU, for {_NO_GPU}")
        return
    passed: list[str] = []
    if engine in ("auto", "tensorrt"):
        found = _with_tensorrt(model, digest, explicit, passed)
        if found is not None:
            yield found
    if engine in ("auto", "cuda"):
        problem = _lacks(_CUDA)
        if problem is None:
            yield EngineChoice(kind="cuda", reason=_because("CUDA, in ONNX Runtime", passed))
        else:
            passed.append(f"CUDA: {problem}")
    if explicit and passed:
        raise MissingDependency(f"engine {engine}: cannot run here: {'; '.join(passed)}")
    if not explicit:
        yield EngineChoice(kind="cpu", reason=_because("CPU", passed))


def start_engine(
    model: Path,
    artifact: bytes | None,
    spec: RectifierSpec,
    engine: str = "auto",
    *,
    gpu: int = 0,
    driver: Callable[[], bool] = has_driver,
) -> tuple[Engine | None, EngineChoice]:
    """Choose an engine and start it.

    Args:
        model, engine, driver: as for `choose_engine`.
        artifact: bytes of the .onnx file; None where ``model`` is a built engine.
        spec: of the model. gpu: number of the GPU.
    Returns:
        the engine, None for the CPU, whose split path needs none; and what was chosen. With "auto" an engine
        that does not start is passed over, and the reason says so.
    Raises:
        as `choose_engine`; EngineError, ArtifactError, MissingDependency: what was asked for does not start.
    """
    failed: list[str] = []
    for choice in choices(model, engine, digest=spec.digest, driver=driver):
        told = EngineChoice(
            kind=choice.kind, reason=_because(choice.reason, failed), file=choice.file, cache=choice.cache
        )
        if choice.kind == "cpu":
            return None, told
        try:
            from stn_deploy.runtime.engines.start import start  # only where there is a GPU

            return start(choice, artifact, spec, gpu=gpu), told
        except Exception as error:  # NVIDIA's libraries raise what they like
            if engine != "auto" or choice.file == model:
                raise
            failed.append(f"{choice.kind} did not start: {error}")
    raise EngineError(f"engine {engine}: {'; '.join(failed)}")


def is_engine_file(model: Path) -> bool:
    """Whether a model is a built engine: its name says so, or its record stands beside it."""
    return model.suffix == ".engine" or (model.suffix != ".onnx" and sidecar_of(model).is_file())


def _with_tensorrt(model: Path, digest: str, explicit: bool, passed: list[str]) -> EngineChoice | None:
    """An engine that was built from the model, else ONNX Runtime's TensorRT."""
    file = _built_beside(model, passed)
    if file is not None:
        reason = f"TensorRT, for {file.name} was built from this model and fits this GPU"
        return EngineChoice(kind="tensorrt", reason=reason, file=file)
    problem = _lacks(_TENSORRT)
    if problem is not None:
        passed.append(
            f"TensorRT: {problem}; no engine that fits stands beside the model (stn-deploy build makes one)"
        )
        return None
    cache = _cache_for(digest, passed)
    if cache is None:
        return None
    if not explicit and not any(cache.glob("*.engine")):
        passed.append(
            "TensorRT in ONNX Runtime would build for minutes first (engine='tensorrt' does it, once)"
        )
        return None
    return EngineChoice(kind="tensorrt", reason="TensorRT, in ONNX Runtime", cache=cache)


def _built_beside(model: Path, passed: list[str]) -> Path | None:
    """An engine in the model's folder that was built from it and runs here."""
    try:
        if not any(path.with_suffix("").is_file() for path in model.parent.glob("*.json")):
            return None
        from stn_deploy.runtime.engines.engine_file import engines_beside

        found = engines_beside(model)
    except (StnDeployError, OSError) as error:
        passed.append(f"TensorRT: {error}")
        return None
    passed += [f"TensorRT: {each.refused}" for each in found if each.refused is not None]
    return next((each.path for each in found if each.refused is None), None)


def _lacks(provider: str) -> str | None:
    """What is missing for an execution provider of ONNX Runtime."""
    if not _is_installed("cuda.bindings"):
        return "cuda-bindings is not installed (pip install cuda-bindings, or the extra gpu)"
    if not _is_installed("onnxruntime"):
        return "onnxruntime is not installed (pip install onnxruntime-gpu, or the extra gpu)"
    import onnxruntime

    if provider in onnxruntime.get_available_providers():
        return None
    return (
        f"ONNX Runtime {onnxruntime.__version__} was built without {provider} (pip uninstall onnxruntime, "
        "then pip install onnxruntime-gpu)"
    )


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _cache_for(digest: str, passed: list[str]) -> Path | None:
    from stn_deploy.plugins.library import cache_folder

    try:
        return cache_folder().parent / "engines" / (digest or "unknown")
    except StnDeployError as error:
        passed.append(f"TensorRT in ONNX Runtime has no folder to keep its engine in: {error}")
        return None


def _because(what: str, passed: list[str]) -> str:
    return f"{what}; passed over: {'; '.join(passed)}" if passed else what
