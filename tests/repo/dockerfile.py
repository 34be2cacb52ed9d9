"""A small reader of Dockerfiles, and a way to run their steps in a folder where Docker is not at hand."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Steps that change the system itself; a test does without them.
SYSTEM_COMMANDS = ("apt-get", "useradd")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined and its build arguments filled in."""

    word: str
    text: str

    def words(self) -> list[str]:
        """The arguments, from the JSON form or the shell form."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


@dataclass(frozen=True)
class Stage:
    """One FROM and what follows it."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[Instruction]:
        """Every instruction that begins with ``word``, in order."""
        return [instruction for instruction in self.instructions if instruction.word == word]


def read_dockerfile(path: Path) -> list[Stage]:
    """The stages of a Dockerfile; ARG defaults are filled in where FROM uses them."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text(encoding="utf-8"))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip():
            continue
        word, rest = line.strip().split(maxsplit=1)
        if word == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = value
        elif word == "FROM":
            filled = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], rest)
            base, _, name = filled.partition(" AS ")
            stages.append(Stage(name=name, base=base, instructions=()))
        else:
            stage = stages.pop()
            stages.append(Stage(stage.name, stage.base, (*stage.instructions, Instruction(word, rest))))
    return stages


def copy_sources(instruction: Instruction) -> tuple[str | None, list[str], str]:
    """The stage that a COPY takes from (None: the checkout), its sources and its destination."""
    words = instruction.words()
    options = [word for word in words if word.startswith("--")]
    *sources, destination = [word for word in words if not word.startswith("--")]
    stage = next((word.partition("=")[2] for word in options if word.startswith("--from=")), None)
    return stage, sources, destination


class StageRun:
    """Runs the stages of a Dockerfile, each in a folder that stands for its root.

    System packages and users are left out; a fresh virtual environment stands for the base image's Python.
    """

    def __init__(self, stages: list[Stage], checkout: Path, folder: Path) -> None:
        self.checkout = checkout
        self.roots = {stage.name: folder / (stage.name or "final") for stage in stages}
        for stage in stages:
            self._run(stage)

    def environment(self, stage: str) -> Path:
        """The virtual environment of a stage."""
        return self.roots[stage] / "venv"

    def _run(self, stage: Stage) -> None:
        root = self.roots[stage.name]
        subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
        folder = root
        for instruction in stage.instructions:
            if instruction.word == "WORKDIR":
                folder = self._inside(root, root, instruction.text)
                folder.mkdir(parents=True, exist_ok=True)
            elif instruction.word == "COPY":
                self._copy(instruction, root, folder)
            elif instruction.word == "RUN" and not instruction.text.startswith(SYSTEM_COMMANDS):
                # An absolute path in a command means a path of the image.
                command = re.sub(r"(?<![\w./$])/(?=[a-z])", f"{root}/", instruction.text)
                run_clean(["bash", "-c", command], root / "venv", folder)

    def _copy(self, instruction: Instruction, root: Path, folder: Path) -> None:
        stage, sources, destination = copy_sources(instruction)
        source_root = self.checkout if stage is None else self.roots[stage]
        target = self._inside(root, folder, destination)
        for source in (source_root / name.lstrip("/") for name in sources):
            if source.is_dir():
                shutil.copytree(
                    source,
                    target,
                    dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
                )
            else:
                shutil.copy(source, target / source.name if destination.endswith("/") else target)

    @staticmethod
    def _inside(root: Path, folder: Path, path: str) -> Path:
        return root / path.lstrip("/") if path.startswith("/") else folder / path


def run_clean(command: list[str | Path], environment: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with only ``environment`` on the path for Python; raise with its output when it fails."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL"))}
    variables["PATH"] = f"{environment / 'bin'}{os.pathsep}{variables['PATH']}"
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"[-6000:])
    return done
