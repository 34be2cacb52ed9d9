"""One range of Python versions, wherever it is named."""

from __future__ import annotations

import re

import pytest

from tests.repo.conftest import ROOT

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def listed() -> list[int]:
    """The minor versions that the classifiers list."""
    return [int(minor) for minor in re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', PROJECT)]


def test_the_package_asks_for_the_versions_that_it_lists() -> None:
    versions = listed()
    assert versions == list(range(versions[0], versions[-1] + 1))
    assert f'requires-python = ">=3.{versions[0]},<3.{versions[-1] + 1}"' in PROJECT


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "Makefile", "constraints.txt"])
def test_every_page_names_the_versions_that_the_package_lists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"3\.(\d+) to 3\.(\d+)", text))
    assert named == {(str(listed()[0]), str(listed()[-1]))}
