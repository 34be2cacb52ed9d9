"""Every file speaks of the project alone: no path of one machine, no address of a package registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Spelled with a bar that is taken out again, so that this file does not match itself.
MACHINE_PATHS = [path.replace("|", "") for path in ("/w|ork/", "/h|ome/", "/r|oot/", "/U|sers/", "/m|nt/")]
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("download", "pytorch", "org"),
        ("pypi", "nvidia", "com"),
    )
]

# A path begins a word: "network/home/" is a relative path, not one of a machine.
FORBIDDEN = re.compile(
    "|".join(rf"(?<![\w.}}*]){re.escape(path)}" for path in MACHINE_PATHS)
    + "|"
    + "|".join(re.escape(host) for host in REGISTRIES)
)


def text_of(path: Path) -> str | None:
    """The text of a file, or None for a binary one."""
    content = path.read_bytes()
    return None if b"\0" in content[:8192] else content.decode("utf-8", errors="replace")


def test_no_file_names_a_machine_or_a_registry(repository_files: list[Path], root: Path) -> None:
    found = [
        f"{path.relative_to(root)}:{number}: {match[0]}"
        for path in repository_files
        for number, line in enumerate((text_of(path) or "").splitlines(), start=1)
        for match in FORBIDDEN.finditer(line)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["cd /w|ork/main", '"/h|ome/a"', "https://pypi|.org/simple", "(/r|oot/x)"])
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    assert FORBIDDEN.search(text.replace("|", ""))


@pytest.mark.parametrize("text", ["stn_deploy/network/work/x", "../work/x", "docker run -v $PWD:/data"])
def test_the_search_leaves_relative_paths_alone(text: str) -> None:
    assert not FORBIDDEN.search(text)
