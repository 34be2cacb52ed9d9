"""Opening an engine: its record, the machines that it fits, and what is said where it does not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stn_deploy.artifact import EngineRecord, Profile, read_artifact, read_engine, read_record, sidecar_of
from stn_deploy.cli.common import expect_model
from stn_deploy.errors import ArgumentError, ArtifactError, EngineError, MissingDependency
from stn_deploy.runtime.engines.device import Gpu
from stn_deploy.runtime.engines.engine_file import Machine, engines_beside, open_engine
from tests.engines.install import folder_of

PLAN = bytes(range(256)) * 9
HERE = Machine(gpu=Gpu("Fake RTX", "8.6"), versions={"tensorrt": "10.13.3.9", "tensorrt-rtx": "1.7.1.116"})


def record_of(model: Path, **changes: Any) -> EngineRecord:
    values: dict[str, Any] = {
        "backend": "tensorrt",
        "version": "10.13.3.9",
        "gpu": "Fake RTX",
        "compute_capabilities": ("8.6",),
        "hardware_compatible": False,
        "version_compatible": False,
        "precision": "float16",
        "profile": Profile.parse("1:3:8", "32x40:64x96:128x256"),
        "workspace": 512,
        "plugin": None,
        "model": model.name,
        "spec": read_artifact(model)[1],
        "sha256": hashlib.sha256(PLAN).hexdigest(),
        "size": len(PLAN),
        "layers": ({"name": "a", "interpolation": "linear", "padding": "border"},),
        "stn_deploy": "0.1.0",
    }
    return EngineRecord(**(values | changes))


def write(path: Path, record: EngineRecord, plan: bytes = PLAN) -> Path:
    path.write_bytes(plan)
    sidecar_of(path).write_text(record.to_json())
    return path


def test_a_record_comes_back_as_it_was_written(model: Path, tmp_path: Path) -> None:
    for record in (
        record_of(model),
        record_of(model, gpu=None, workspace=None, compute_capabilities=("7.5", "12.0")),
        record_of(model, plugin={"kind": "library", "file": "libx.so", "sha256": "ab"}),
        record_of(model, plugin={"kind": "ahead of time", "file": "x.ptx", "sha256": "ab"}),
    ):
        assert EngineRecord.from_json(record.to_json()) == record
        path = write(tmp_path / "x.engine", record)
        assert sidecar_of(path).name == "x.engine.json"
        assert read_engine(path) == (PLAN, record)


def test_an_engine_without_a_record_or_with_a_damaged_one_is_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.engine"
    path.write_bytes(PLAN)
    with pytest.raises(ArtifactError, match="expected its record x.engine.json beside it, found none"):
        open_engine(path, HERE)
    whole = record_of(model).to_json()
    values = json.loads(whole)
    newer = json.dumps(values | {"engine_format": 2})
    without = json.dumps({key: value for key, value in values.items() if key != "profile"})
    for text, message in (
        (whole[: len(whole) // 2], "damaged"),
        ("[]", "damaged"),
        (without, "damaged"),
        (json.dumps(values | {"profile": {"batch": [3, 2, 1], "canvas": [[1, 1]] * 3}}), "damaged"),
        (newer, "engine format 2 is newer than 1"),
        (json.dumps(values | {"backend": "other"}), "expected one of tensorrt, tensorrt-rtx, got 'other'"),
    ):
        sidecar_of(path).write_text(text)
        with pytest.raises(ArtifactError, match=message):
            open_engine(path, HERE)


def test_an_engine_that_is_not_there_is_not_asked_for_its_record(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"absent\.engine: no such file"):
        read_engine(tmp_path / "absent.engine")


def test_an_engine_is_not_taken_for_the_file_that_it_was_built_from(model: Path, tmp_path: Path) -> None:
    engine = write(tmp_path / "x.engine", record_of(model))
    with pytest.raises(ArgumentError, match=rf"x\.engine: is an engine; .*built from, {model.name}"):
        expect_model(engine)
    expect_model(model)


def test_damaged_bytes_are_refused_with_the_command_that_builds_them_again(
    model: Path, tmp_path: Path
) -> None:
    for plan in (PLAN[:-1], PLAN + b"x", b"y" + PLAN[1:]):
        path = write(tmp_path / "x.engine", record_of(model), plan)
        with pytest.raises(ArtifactError, match=r"damaged.*build it again: stn-deploy build "):
            open_engine(path, HERE)
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_engine(path, HERE)


RTX = {"backend": "tensorrt-rtx", "version": "1.7.1.116", "gpu": None}
RTX_DEFAULT = RTX | {"compute_capabilities": ("8.0", "8.6"), "hardware_compatible": True}

# What was built, the version and compute capability of the machine, and what does not fit.
FITS: list[tuple[dict[str, Any], str, str, str | None]] = [
    ({}, "10.13.3.9", "8.6", None),
    ({}, "10.13.3.18", "8.6", None),  # another build of the same release
    ({}, "10.14.0.1", "8.6", "version"),
    ({}, "10.9.0.1", "8.6", "version"),
    ({"version_compatible": True}, "10.14.0.1", "8.6", None),
    ({"version_compatible": True}, "10.9.0.1", "8.6", "version"),
    ({"version_compatible": True}, "11.1.0.0", "8.6", None),
    ({"version_compatible": True}, "12.0.0.0", "8.6", "version"),
    ({}, "10.13.3.9", "8.9", "GPU"),
    ({"hardware_compatible": True}, "10.13.3.9", "12.0", None),
    ({"hardware_compatible": True}, "10.13.3.9", "7.5", "GPU"),
    (RTX, "1.7.1.116", "8.6", None),
    (RTX, "1.7.1.116", "8.9", "GPU"),
    (RTX, "1.7.2.1", "8.6", "version"),
    (RTX | {"version_compatible": True}, "1.8.0.1", "8.6", "version"),
    (RTX_DEFAULT, "1.7.1.116", "12.1", None),
    (RTX_DEFAULT, "1.7.1.116", "7.5", "GPU"),
    (RTX | {"compute_capabilities": ("7.5", "12.0")}, "1.7.1.116", "12.0", None),
]


HOSTILE: dict[str, list[object]] = {
    "engine_format": [float("inf"), None],
    "version": [7, None, "10\0"],
    "gpu": [5],
    "compute_capabilities": [[8.6], 8.6, "8.6", None],
    "hardware_compatible": ["no", 1],
    "precision": [3],
    "profile": [{"batch": [True, 2, 3], "canvas": [[1, 1]] * 3}, {"batch": "123", "canvas": []}, 5],
    "workspace": ["512", -1, True],
    "plugin": [
        {},
        "x.so",
        {"file": "x.so", "sha256": "ab"},
        {"kind": "library", "file": "../x.so", "sha256": "ab"},
        {"kind": "library", "file": "x.so", "sha256": 5},
        {"kind": "ahead of time", "file": "", "sha256": "ab"},
        {"kind": "by magic", "file": "x.so", "sha256": "ab"},
    ],
    "model": ["", "..", "../x.onnx", "/x.onnx", 5],
    "spec": [[], {}, None],
    "sha256": [5, None],
    "size": ["5", 5.0],
    "layers": [[1], 5],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in HOSTILE.items() for value in values]
)
def test_a_record_with_a_value_of_another_kind_is_refused_wherever_it_is_found(
    name: str, value: object, model: Path, tmp_path: Path
) -> None:
    values = json.loads(record_of(model).to_json())
    path = tmp_path / "x.engine"
    path.write_bytes(PLAN)
    sidecar_of(path).write_text(json.dumps(values | {name: value}))
    with pytest.raises(ArtifactError, match=r"x\.engine\.json: "):
        read_engine(path)
    shutil.copy(model, tmp_path)
    assert engines_beside(tmp_path / model.name, machine=HERE) == []


def test_json_that_no_parser_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.engine"
    path.write_bytes(PLAN)
    sidecar_of(path).write_text("[" * 200_000)
    with pytest.raises(ArtifactError, match="damaged"):
        read_engine(path)


@pytest.mark.parametrize(("built", "version", "capability", "problem"), FITS)
def test_an_engine_fits_the_versions_and_gpus_that_it_was_built_for(
    built: dict[str, Any], version: str, capability: str, problem: str | None, model: Path, tmp_path: Path
) -> None:
    record = record_of(model, **built)
    path = write(tmp_path / "x.engine", record)
    machine = Machine(gpu=Gpu("Other GPU", capability), versions={record.backend: version})
    if problem is None:
        assert open_engine(path, machine).record == record
        return
    with pytest.raises(EngineError) as refused:
        open_engine(path, machine)
    said = str(refused.value)
    assert f"was built for another {problem}" in said
    assert f"{record.backend} {record.version}" in said
    assert f"{record.backend} {version}, compute capability {capability} (Other GPU)" in said
    assert said.endswith(record.rebuild_command(path, compute_capability=capability))


def test_a_machine_without_library_or_gpu_is_told_what_is_missing(model: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.engine", record_of(model))
    nothing = Machine(gpu=HERE.gpu, versions={}, reasons={"tensorrt": "tensorrt is not installed; pip ..."})
    with pytest.raises(MissingDependency, match=r"built for tensorrt 10\.13\.3\.9.*pip \.\.\."):
        open_engine(path, nothing)
    no_gpu = dataclasses.replace(HERE, gpu=None, reasons={"gpu": "expected an NVIDIA GPU"})
    with pytest.raises(EngineError, match=r"compute capability 8\.6 \(Fake RTX\); expected an NVIDIA GPU"):
        open_engine(path, no_gpu)


@pytest.mark.parametrize(
    "built",
    [
        {},
        {"hardware_compatible": True, "version_compatible": True, "workspace": None},
        {"plugin": {"kind": "library", "file": "lib x.so", "sha256": "ab"}},
        {"plugin": {"kind": "ahead of time", "file": "x.ptx", "sha256": "ab"}},
        RTX | {"compute_capabilities": ("7.5", "12.0")},
        RTX_DEFAULT,
    ],
)
def test_the_rebuild_command_is_one_that_the_command_line_takes_for_the_same_settings(
    built: dict[str, Any], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    import stn_deploy.export.engine as engine_module
    import stn_deploy.runtime.engines.libraries as libraries
    from stn_deploy.cli.app import app

    record = record_of(model, **built)
    path = tmp_path / "a folder" / "x.engine"
    asked: dict[str, Any] = {}

    def build(model: Path, to: Path, settings: object, **_: object) -> EngineRecord:
        asked.update(model=model, to=to, settings=settings)
        return record

    def library(name: str) -> libraries.Library:
        asked["backend"] = name
        return libraries.Library(name, "1", None)

    monkeypatch.setattr(engine_module, "build_engine", build)
    monkeypatch.setattr(libraries, "find_library", library)
    words = shlex.split(record.rebuild_command(path))
    assert words[0] == "stn-deploy"
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, (done.output, done.exception)
    settings = asked["settings"]
    assert asked["backend"] == record.backend
    assert (asked["model"], asked["to"]) == (path.with_name(model.name), path)
    assert settings.profile == record.profile
    assert settings.workspace == record.workspace
    assert settings.version_compatible == record.version_compatible
    rtx = record.backend == "tensorrt-rtx"
    assert settings.hardware_compatible == (record.hardware_compatible and not rtx)
    listed = rtx and not record.hardware_compatible
    assert settings.compute_capabilities == (record.compute_capabilities if listed else ())
    assert settings.plugin == ("on" if record.plugin else "auto" if rtx else "off")
    named = record.plugin["file"] if record.plugin and record.plugin["kind"] == "library" else "None"
    assert str(settings.plugin_library) == named


def test_engines_beside_a_model_are_found_by_its_digest(model: Path, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    beside = folder / "rectifier.onnx"
    beside.write_bytes(model.read_bytes())
    write(folder / "fits.engine", record_of(beside))
    write(folder / "other_gpu.engine", record_of(beside, compute_capabilities=("7.5",)))
    write(folder / "damaged.engine", record_of(beside), PLAN[:-9])
    other_spec = dataclasses.replace(read_artifact(model)[1], digest="0" * 64)
    write(folder / "of_another_model.engine", record_of(beside, spec=other_spec))
    (folder / "settings.json").write_text("{}")
    (folder / "notes").write_text("")
    (folder / "notes.json").write_text("[1]")
    far = write(elsewhere / "far.plan", record_of(beside))
    found = {each.path.name: each.refused for each in engines_beside(beside, [far], machine=HERE)}
    assert found.pop("fits.engine") is None
    assert found.pop("far.plan") is None
    assert "another GPU" in str(found.pop("other_gpu.engine"))
    assert "damaged" in str(found.pop("damaged.engine"))
    assert found == {}
    with pytest.raises(EngineError, match="expected one that was built from"):
        engines_beside(beside, [folder / "of_another_model.engine"], machine=HERE)
    with pytest.raises(ArtifactError, match="no such file; expected an engine"):
        engines_beside(beside, [folder / "absent.engine"], machine=HERE)
    assert read_record(far).precision == "float16"


def test_an_engine_that_is_named_and_found_is_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "model.onnx")
    path = write(tmp_path / "x.engine", record_of(model))
    assert [each.path for each in engines_beside(Path("model.onnx"), [path], machine=HERE)] == [path]


@pytest.mark.tensorrt
@pytest.mark.parametrize("cuda", ["with cuda-bindings", "without cuda-bindings"])
def test_on_a_machine_without_a_gpu_the_real_libraries_say_what_is_missing(
    cuda: str, model: Path, tmp_path: Path
) -> None:
    """Nothing stands in here: TensorRT-RTX and CUDA are asked, in a process of their own."""
    folders = [folder_of("tensorrt-rtx-1.7"), folder_of("cuda-bindings")]
    if None in folders:
        pytest.skip("needs TensorRT-RTX 1.7 and cuda-bindings: make engines installs them")
    path = write(tmp_path / "x.engine", record_of(model, **RTX))
    root = Path(__file__).resolve().parents[2]
    paths = [str(root), *map(str, folders[: 2 if cuda.startswith("with ") else 1])]
    code = f"""
from pathlib import Path
from stn_deploy.errors import StnDeployError
from stn_deploy.runtime.engines.engine_file import this_machine
from stn_deploy.runtime.engines.trt import TrtFullGraph
print(this_machine().gpu is not None)
try:
    TrtFullGraph(Path({str(path)!r}))
except StnDeployError as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    has_gpu, said = done.stdout.splitlines()
    if has_gpu == "True":
        pytest.skip("needs a machine without a GPU")
    assert said.startswith("EngineError")
    assert "was built for tensorrt-rtx 1.7.1.116, compute capability 8.6" in said
    expected = "expected an NVIDIA GPU and its driver" if cuda.startswith("with ") else "cuda-bindings is not"
    assert expected in said
