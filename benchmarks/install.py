"""``make quickstart`` from nothing: a fresh clone, an empty pip cache; then its own work alone."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter

from _record import ROOT, arguments, keep


def main() -> None:
    """Clone what is committed, run the command twice; the second time everything is installed."""
    arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "stn-deploy")
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        times = []
        for _ in range(2):
            started = perf_counter()
            subprocess.run(
                ["make", "quickstart"],
                cwd=clone,
                env={**os.environ, "PIP_NO_CACHE_DIR": "1"},
                check=True,
                stdout=subprocess.DEVNULL,
            )
            times.append(round(perf_counter() - started, 1))
        sheet = (clone / "quickstart" / "sheet.png").stat().st_size
        size = subprocess.run(["du", "-sm", ".venv"], cwd=clone, capture_output=True, text=True, check=True)
    keep(
        "install",
        {
            "quickstart_from_nothing_seconds": times[0],
            "quickstart_own_work_seconds": times[1],
            "environment_megabytes": int(size.stdout.split()[0]),
            "sheet_bytes": sheet,
        },
    )


if __name__ == "__main__":
    main()
