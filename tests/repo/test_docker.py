"""The Dockerfiles name only what exists, and what the CPU image runs works without Docker too."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.repo.conftest import ROOT, CleanInstall
from tests.repo.dockerfile import copy_sources, read_dockerfile, run_clean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
FORBIDDEN_IN_IMAGE = ("torch", "onnx", "onnxscript", "tensorboard", "pytest")

each_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def project_table() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_there_is_an_image_for_cpu_and_one_for_gpu() -> None:
    assert {"cpu.Dockerfile", "gpu.Dockerfile"} <= {path.name for path in DOCKERFILES}


@each_dockerfile
def test_every_copied_file_is_in_the_checkout_and_reaches_the_build(path: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    stages = read_dockerfile(path)
    names = {stage.name for stage in stages}
    for instruction in (copy for stage in stages for copy in stage.all("COPY")):
        stage, sources, _ = copy_sources(instruction)
        if stage is not None:
            assert stage in names, f"{path.name} copies from the stage {stage}, which it does not have"
            continue
        for source in sources:
            assert (ROOT / source).exists(), f"{path.name} copies {source}, which is not in the checkout"
            assert source in let_through, f"{path.name} copies {source}, which .dockerignore leaves out"


@each_dockerfile
def test_every_installed_extra_is_in_pyproject(path: Path) -> None:
    extras = project_table()["optional-dependencies"]
    runs = [run.text for stage in read_dockerfile(path) for run in stage.all("RUN")]
    wanted = re.findall(r"\.whl\)?\[([\w,-]+)\]", " ".join(run for run in runs if "pip install" in run))
    assert wanted, f"{path.name} installs no extra of the wheel"
    for extra in ",".join(wanted).split(","):
        assert extra in extras


@each_dockerfile
def test_every_install_keeps_to_the_constraints(path: Path) -> None:
    runs = [run.text for stage in read_dockerfile(path) for run in stage.all("RUN")]
    for run in (text for text in runs if "pip install" in text):
        assert "-c constraints.txt" in run


@each_dockerfile
def test_the_image_runs_without_root(path: Path) -> None:
    users = read_dockerfile(path)[-1].all("USER")
    assert users, f"{path.name} never leaves root"
    assert users[-1].text not in ("root", "0")


@each_dockerfile
def test_the_entry_point_is_an_installed_script(path: Path) -> None:
    (entry,) = read_dockerfile(path)[-1].all("ENTRYPOINT")
    assert entry.words()[0] in project_table()["scripts"]


def test_commands_of_the_cpu_image_work_in_a_clean_environment(
    clean_install: CleanInstall, root: Path, tmp_path: Path
) -> None:
    final = read_dockerfile(root / "docker" / "cpu.Dockerfile")[-1]
    entry, default = final.all("ENTRYPOINT")[-1].words(), final.all("CMD")[-1].words()
    greeting = run_clean([*entry, *default], clean_install.environment, tmp_path)
    assert "rectify" in greeting.stdout

    samples = sorted(path for path in (root / "samples").glob("*") if path.suffix in (".jpg", ".png"))
    if not samples:
        pytest.skip("the folder samples has no photographs yet")
    run_clean([*entry, "rectify", str(root / "samples"), "-o", "out"], clean_install.environment, tmp_path)
    pictures = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".jpg", ".png")]
    assert len(pictures) >= len(samples)


def test_the_cpu_image_holds_no_training_library(clean_install: CleanInstall, tmp_path: Path) -> None:
    code = (
        "import importlib.util, json; "
        f"print(json.dumps([name for name in {FORBIDDEN_IN_IMAGE} if importlib.util.find_spec(name)]))"
    )
    done = run_clean(["python", "-c", code], clean_install.environment, tmp_path)
    assert json.loads(done.stdout) == []
