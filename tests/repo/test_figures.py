"""The figures of the README and of docs/ are those that the benchmarks kept, with what they were kept on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_pages_hold_the_kept_figures(root: Path) -> None:
    program = "import json, write_readme; print(json.dumps(write_readme.sections()))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root / "benchmarks", capture_output=True, text=True, check=True
    )
    sections = json.loads(done.stdout)
    assert "README.md" in sections
    for page, section in sections.items():
        assert section in (root / page).read_text(encoding="utf-8"), (
            f"{page} is older than benchmarks/results; run python benchmarks/write_readme.py"
        )


def test_each_result_names_its_commit_and_versions(root: Path) -> None:
    for path in (root / "benchmarks" / "results").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert {"benchmark", "commit", "date", "machine", "python", "versions", "result"} <= set(record)
        assert (root / "benchmarks" / f"{record['benchmark']}.py").exists()
