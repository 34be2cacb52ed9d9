"""What the tests of the repository share: its root, its tracked files, and one clean installation."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repo.dockerfile import StageRun, read_dockerfile

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class CleanInstall:
    """The wheel that cpu.Dockerfile builds, installed as it says into an environment with nothing else."""

    sources: Path
    wheel: Path
    environment: Path


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def repository_files() -> list[Path]:
    """Every file that is tracked, or would be: not ignored, not a link."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("needs a git checkout to know which files belong to the repository")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


@pytest.fixture(scope="session")
def clean_install(tmp_path_factory: pytest.TempPathFactory) -> CleanInstall:
    """Checkout -> sdist -> wheel -> clean environment, by the very commands of docker/cpu.Dockerfile."""
    folder = tmp_path_factory.mktemp("clean")
    stages = read_dockerfile(ROOT / "docker" / "cpu.Dockerfile")
    run = StageRun(stages, ROOT, folder)
    (wheel,) = (run.roots["builder"] / "wheels").glob("*.whl")
    return CleanInstall(run.roots["builder"] / "src", wheel, run.environment(""))
