"""Each package says what it offers: ``__all__`` exists, is sorted, resolves, and every name is explained."""

from __future__ import annotations

import importlib
import inspect
import re
from types import GenericAlias, ModuleType

import pytest

from tests.repo.conftest import ROOT

PACKAGES = [
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in sorted((ROOT / "stn_deploy").rglob("__init__.py"))
    if path.stat().st_size
]

each_package = pytest.mark.parametrize("name", PACKAGES)


def import_package(name: str) -> ModuleType:
    return importlib.import_module(name)


def as_ruff_sorts(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions, each in alphabetical order."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name


@each_package
def test_public_names_are_listed_in_order(name: str) -> None:
    names = import_package(name).__all__
    assert list(names) == sorted(set(names), key=as_ruff_sorts)


@each_package
def test_public_names_exist(name: str) -> None:
    package = import_package(name)
    assert [public for public in package.__all__ if not hasattr(package, public)] == []


@each_package
def test_public_names_are_explained(name: str) -> None:
    package = import_package(name)
    assert package.__doc__, f"{name} has no docstring"
    public = {public: getattr(package, public) for public in package.__all__}
    assert [public_name for public_name, value in public.items() if not is_explained(value)] == []


def is_explained(value: object) -> bool:
    """Whether a class or function has a docstring of its own; a constant is explained where it is set."""
    if type(value) is GenericAlias:  # NDArray[np.float32]; Python 3.10 takes it for a class
        return True
    if not (inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value)):
        return True
    text = value.__doc__ or ""
    inherited = inspect.isclass(value) and any(base.__doc__ == text for base in value.__mro__[1:])
    written_by_dataclass = re.match(rf"{re.escape(getattr(value, '__name__', ''))}\(", text) is not None
    return bool(text.strip()) and not inherited and not written_by_dataclass
