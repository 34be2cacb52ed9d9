"""The candidates of `stn-deploy bench`: each engine that runs a model here; why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2

from stn_deploy.artifact import RectifierSpec, read_artifact, read_record
from stn_deploy.errors import EngineError, StnDeployError
from stn_deploy.runtime.bench import Absent, Candidate, Image
from stn_deploy.runtime.canvas import pack_canvas
from stn_deploy.runtime.engines.choice import choose_engine, is_engine_file
from stn_deploy.runtime.engines.ort import OrtFullGraph
from stn_deploy.runtime.pipeline import Pipeline
from stn_deploy.runtime.rectifier import DEFAULT_MODEL, INT8_MODEL, Rectifier


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model whose engines are compared. path: of the .onnx file or of a built engine. spec: its own."""

    path: Path
    spec: RectifierSpec
    artifact: bytes | None

    @classmethod
    def open(cls, path: Path) -> Model:
        """Read it.

        Raises:
            ArtifactError: missing, not ours, or damaged.
        """
        if is_engine_file(path):
            return cls(path=path, spec=read_record(path).spec, artifact=None)
        artifact, spec = read_artifact(path)
        return cls(path=path, spec=spec, artifact=artifact)

    @property
    def size(self) -> str:
        """Of the full graph's output, and of all crops that are compared: 32x100."""
        height, width = self.spec.output_size
        return f"{height}x{width}"


def open_candidates(model: Model, *, threads: Sequence[int]) -> list[Candidate | Absent]:
    """Every engine, those of the CPU with each number of threads.

    They straighten all images to the size of the full graph's output, so that they do the same; save those
    "as by default", which are the rectifier behind its gate, at natural width.

    Args:
        threads: of the CPU's candidates, each at least 1.
    """
    found: list[Candidate | Absent] = []
    for name, opener in _openers(model, threads):
        try:
            found.append(opener())
        except StnDeployError as error:
            found.append(Absent(name=name, why=str(error)))
    return found


_Opener = Callable[[Model, str, int], Candidate]


def _openers(model: Model, threads: Sequence[int]) -> Iterator[tuple[str, Callable[[], Candidate]]]:
    on_cpu: list[tuple[str, _Opener]] = [
        ("CPU", _split),
        ("CPU, pipeline", _pipeline),
        ("CPU, as by default", _by_default),
        ("CPU, full graph in ONNX Runtime", _full_graph),
    ]
    if model.path == DEFAULT_MODEL:
        on_cpu.insert(1, ("CPU, int8", _int8))
    for name, opener in on_cpu:
        for count in threads:
            if opener is not _pipeline or count > 1:  # with one thread it overlaps nothing
                yield name, partial(opener, model, name, count)
    for name, engine in (("CUDA", "cuda"), ("TensorRT", "tensorrt")):
        yield name, partial(_on_gpu, model, name, engine)


def _split(model: Model, name: str, threads: int) -> Candidate:
    """What `Rectifier` does on the CPU: the network in ONNX Runtime, sampling in OpenCV."""
    return _candidate(name, model.size, threads, _rectifier(model, threads=threads))


def _int8(model: Model, name: str, threads: int) -> Candidate:
    """The shipped network in INT8."""
    eight = replace(model, path=INT8_MODEL)
    return _candidate(name, model.size, threads, _rectifier(eight, threads=threads))


def _by_default(model: Model, name: str, threads: int) -> Candidate:
    _need_onnx(model)
    rectifier = Rectifier(model.path, engine="cpu", threads=threads)
    return _candidate(name, "natural width, behind the gate", threads, rectifier)


def _rectifier(model: Model, *, threads: int = 1) -> Rectifier:
    """One that straightens all images to the size of the full graph's output."""
    _need_onnx(model)
    size = model.spec.output_size
    return Rectifier(model.path, engine="cpu", size=size, threshold=0.0, threads=threads)


def _candidate(name: str, makes: str, threads: int, rectifier: Rectifier) -> Candidate:
    return Candidate(
        name=name,
        makes=makes,
        threads=threads,
        straighten=_with_threads_of_opencv(rectifier, threads),
        close=rectifier.close,
    )


def _pipeline(model: Model, name: str, threads: int) -> Candidate:
    """Groups of images side by side, each with a network of one thread."""
    rectifier = _rectifier(model)
    pipeline = Pipeline(rectifier, workers=threads)
    return Candidate(
        name=name,
        makes=model.size,
        threads=threads,
        straighten=_with_threads_of_opencv(lambda images: list(pipeline(images)), 1),
        close=rectifier.close,
    )


def _full_graph(model: Model, name: str, threads: int) -> Candidate:
    """The exported file as ONNX Runtime runs it, packing the canvas included."""
    graph = OrtFullGraph(_need_onnx(model), threads=threads)
    return Candidate(
        name=name,
        makes=model.size,
        threads=threads,
        straighten=lambda images: graph.run(*pack_canvas(images)),
    )


def _on_gpu(model: Model, name: str, engine: str) -> Candidate:
    choice = choose_engine(model.path, engine, digest=model.spec.digest)
    if choice.file is None and choice.cache is not None and not any(choice.cache.glob("*.engine")):
        raise EngineError(
            "TensorRT in ONNX Runtime would build for minutes first; stn-deploy build makes an engine, which "
            "is found beside the model"
        )
    rectifier = Rectifier(model.path, engine=engine, size=model.spec.output_size, threshold=0.0)
    return Candidate(
        name=f"{name}, {choice.file.name}" if choice.file else f"{name} in ONNX Runtime",
        makes=model.size,
        threads=None,
        straighten=rectifier,
        close=rectifier.close,
    )


def _need_onnx(model: Model) -> bytes:
    if model.artifact is None:
        raise EngineError(f"{model.path} is a built engine, which TensorRT alone runs; give the .onnx file")
    return model.artifact


def _with_threads_of_opencv(
    straighten: Callable[[Sequence[Image]], object], threads: int
) -> Callable[[Sequence[Image]], object]:
    """OpenCV keeps one number of threads for the whole process; it is as before after the call."""

    def work(images: Sequence[Image]) -> object:
        before = cv2.getNumThreads()
        cv2.setNumThreads(threads)
        try:
            return straighten(images)
        finally:
            cv2.setNumThreads(before)

    return work
