"""The wheel holds the package and nothing else, the same from the sdist as from a checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.repo.conftest import ROOT, CleanInstall
from tests.repo.dockerfile import run_clean

MEGABYTE = 1_000_000
LARGEST_WEIGHTS = 3 * MEGABYTE
LARGEST_FILE = 3.5 * MEGABYTE
ROOT_LINKS = ("export", "plugins", "runtime")


@pytest.fixture(scope="module")
def contents(clean_install: CleanInstall) -> dict[str, int]:
    """Size of each file in the wheel, by its path there."""
    with zipfile.ZipFile(clean_install.wheel) as wheel:
        return {entry.filename: entry.file_size for entry in wheel.infolist()}


@pytest.mark.parametrize("name", ROOT_LINKS)
def test_root_links_are_relative_and_point_into_the_package(name: str) -> None:
    assert (ROOT / name).readlink() == Path("stn_deploy") / name
    assert (ROOT / name).is_dir()


def test_the_wheel_holds_one_package_and_its_metadata(contents: dict[str, int]) -> None:
    tops = {name.split("/")[0] for name in contents}
    assert {top.split("-")[0] for top in tops} == {"stn_deploy"}, (
        "only stn_deploy and its .dist-info belong here"
    )


def test_the_wheel_holds_every_module_of_the_checkout(contents: dict[str, int], root: Path) -> None:
    modules = {path.relative_to(root).as_posix() for path in (root / "stn_deploy").rglob("*.py")}
    assert {name for name in contents if name.endswith(".py")} == modules


def test_the_wheel_holds_what_the_plugin_is_compiled_from_and_the_text_of_its_kernels(
    contents: dict[str, int], root: Path
) -> None:
    files = [path for path in (root / "stn_deploy" / "plugins").rglob("*") if path.is_file()]
    wanted = {
        path.relative_to(root).as_posix()
        for path in files
        if path.suffix in (".cpp", ".cu", ".cuh", ".h", ".ptx")
        or path.name in ("CMakeLists.txt", "digest.json")
    }
    assert {Path(name).suffix for name in wanted} >= {".cpp", ".cu", ".cuh", ".h", ".ptx", ".txt", ".json"}
    assert wanted <= {name for name, size in contents.items() if size > 0}


def test_the_wheel_is_typed_and_licensed(contents: dict[str, int]) -> None:
    assert "stn_deploy/py.typed" in contents
    assert any(name.endswith("licenses/LICENSE") for name in contents)


def test_the_wheel_brings_a_rectifier_of_bounded_size(contents: dict[str, int]) -> None:
    weights = {name: size for name, size in contents.items() if name.startswith("stn_deploy/weights/")}
    models = [name for name in weights if name.endswith(".onnx")]
    assert models, "no rectifier in stn_deploy/weights"
    assert any(name.endswith(".md") for name in weights), "the rectifier has no model card"
    assert max(weights[name] for name in models) <= LARGEST_WEIGHTS


def test_no_file_in_the_wheel_is_large(contents: dict[str, int]) -> None:
    assert {name: size for name, size in contents.items() if size > LARGEST_FILE} == {}


def test_the_wheel_from_the_checkout_equals_the_one_from_the_sdist(
    clean_install: CleanInstall, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run([*command, clean_install.sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (direct,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(direct) as ours, zipfile.ZipFile(clean_install.wheel) as theirs:
        assert checksums(ours) == checksums(theirs)


def test_installed_packages_agree_with_each_other(clean_install: CleanInstall, tmp_path: Path) -> None:
    run_clean(["python", "-m", "pip", "check"], clean_install.environment, tmp_path)


def checksums(wheel: zipfile.ZipFile) -> dict[str, int]:
    """Checksum of each file; RECORD and WHEEL name the tool that wrote them."""
    return {
        entry.filename: entry.CRC
        for entry in wheel.infolist()
        if not entry.filename.endswith(("RECORD", "WHEEL"))
    }
