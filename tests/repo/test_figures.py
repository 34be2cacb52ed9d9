"""The figures of the README are those that the benchmarks kept, and the kept ones reach what they must."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_readme_holds_the_kept_figures(root: Path) -> None:
    program = "import write_readme as w; print(w.BEGIN); print(w.figures()); print(w.END)"
    expected = subprocess.run(
        [sys.executable, "-c", program], cwd=root / "benchmarks", capture_output=True, text=True, check=True
    ).stdout
    assert expected.strip() in (root / "README.md").read_text(encoding="utf-8"), (
        "the README is older than benchmarks/results; run python benchmarks/write_readme.py"
    )


def test_each_result_names_its_commit_and_versions(root: Path) -> None:
    for path in (root / "benchmarks" / "results").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert {"benchmark", "commit", "date", "machine", "python", "versions", "result"} <= set(record)
        assert (root / "benchmarks" / f"{record['benchmark']}.py").exists()
