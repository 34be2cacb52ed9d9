"""Who may import whom. The table is the architecture; a new part of the house begins with a row here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repo.conftest import ROOT

PACKAGE = "stn_deploy"
ANYTHING = None

# Row: a part of the package. Values: the other parts that it may import.
MAY_IMPORT: dict[str, set[str] | None] = {
    "__init__": ANYTHING,  # lazily; test_light_imports measures what it loads
    "errors": set(),
    "wording": set(),
    "geometry": {"errors"},
    "artifact": {"errors"},
    "data": {"errors"},
    "pictures": {"geometry", "data", "errors"},
    "weights": set(),
    "plugins": {"geometry", "errors"},
    "stn": {"geometry", "pictures", "errors"},
    "training": {"stn", "geometry", "data", "artifact", "pictures", "errors"},
    "runtime": {"artifact", "geometry", "data", "pictures", "plugins", "weights", "wording", "errors"},
    # verify compares the exported file with the runtime that will use it
    "export": {"training", "stn", "geometry", "artifact", "data", "plugins", "runtime", "errors"},
    "experiments": {"training", "stn", "geometry", "data", "artifact", "errors"},
    "cli": ANYTHING,
}

# Folders that may import more than the part they belong to.
ALSO = {"stn_deploy/plugins/operators/": {"stn"}}

# Parts that keep to NumPy and the standard library.
ONLY_NUMPY = {"errors": set(), "wording": set(), "geometry": {"numpy"}, "artifact": {"numpy"}}

# Parts that run without torch, and what none of their lines may import, not even inside a function.
LIGHT = ("errors", "wording", "geometry", "artifact", "data", "pictures", "plugins", "runtime")
# ... save those that are for torch alone.
FOR_TORCH = ("stn_deploy/plugins/operators/",)
HEAVY = {
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "onnx_ir",
    "tensorrt",
    "tensorrt_rtx",
    "tensorrt_bindings",
}
# ... save that an engine, or a plugin for one, loads its library when it is used.
ENGINES = ("stn_deploy/runtime/engines/", "stn_deploy/plugins/library/", "stn_deploy/plugins/ahead_of_time/")
ENGINE_LIBRARIES = {"tensorrt", "tensorrt_rtx", "tensorrt_bindings"}


@dataclass(frozen=True)
class Import:
    """One imported module, where, and whether inside a function."""

    module: str
    place: str
    local: bool


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of a file: statements, at any depth, and import_module with a constant."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = {id(child) for function in functions for child in ast.walk(function)}
    for node in ast.walk(tree):
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        for module in modules_named_by(node, package):
            yield Import(module, place, id(node) in inside)


def modules_named_by(node: ast.AST, package: tuple[str, ...]) -> list[str]:
    """The absolute names that one syntax node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parents = package[: len(package) - node.level + 1] if node.level else ()
        module = ".".join((*parents, *([node.module] if node.module else [])))
        # "from stn_deploy import geometry" imports a part of the house, not the house
        return [f"{PACKAGE}.{alias.name}" for alias in node.names] if module == PACKAGE else [module]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def part_of(module: str) -> str:
    """The part of the house that a module belongs to: stn_deploy.geometry.affine -> geometry."""
    return module.split(".")[1] if "." in module else "__init__"


def part_of_file(path: Path) -> str:
    return path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")


FILES = sorted((ROOT / PACKAGE).rglob("*.py"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / PACKAGE)))


@each_file
def test_parts_import_only_what_stands_below_them(path: Path) -> None:
    part = part_of_file(path)
    assert part in MAY_IMPORT, f"{part} is new: give it a row in MAY_IMPORT"
    allowed = MAY_IMPORT[part]
    if allowed is ANYTHING:
        return
    allowed = allowed.union(*(more for folder, more in ALSO.items() if is_in(path, folder)))
    own = [found for found in imports_of(path) if found.module.split(".")[0] == PACKAGE]
    wrong = [
        f"{found.place} imports {found.module}"
        for found in own
        if part_of(found.module) in MAY_IMPORT and part_of(found.module) not in {part, "__init__", *allowed}
    ]
    assert wrong == [], f"{part} may import {sorted(allowed)} only"


@pytest.mark.parametrize("part", ONLY_NUMPY)
def test_the_lowest_parts_need_only_numpy(part: str) -> None:
    allowed = ONLY_NUMPY[part] | {PACKAGE} | set(sys.stdlib_module_names)
    wrong = [
        f"{found.place} imports {found.module}"
        for path in FILES
        if part_of_file(path) == part
        for found in imports_of(path)
        if found.module.split(".")[0] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("part", LIGHT)
def test_light_parts_never_import_a_training_library(part: str) -> None:
    wrong = [
        f"{found.place} imports {found.module}"
        for path in FILES
        if part_of_file(path) == part and not is_in(path, *FOR_TORCH)
        for found in imports_of(path)
        if found.module.split(".")[0] in HEAVY and not is_engine_loading_its_library(path, found)
    ]
    assert wrong == []


def is_in(path: Path, *folders: str) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(folders)


def is_engine_loading_its_library(path: Path, found: Import) -> bool:
    return is_in(path, *ENGINES) and found.local and found.module.split(".")[0] in ENGINE_LIBRARIES


def test_modules_are_not_named_after_the_library_that_they_wrap() -> None:
    libraries = HEAVY | {
        "cupy",
        "cv2",
        "lmdb",
        "numpy",
        "onnxruntime",
        "PIL",
        "pytesseract",
        "rapidocr",
        "rapidocr_onnxruntime",
        "rich",
        "tesserocr",
        "typer",
    }
    assert [str(path.relative_to(ROOT)) for path in FILES if path.stem in libraries] == []
