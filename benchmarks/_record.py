"""What the benchmark scripts share: where data lies, how a result is kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = (
    *("numpy", "opencv-python", "onnxruntime", "torch", "kornia"),
    *("tesserocr", "rapidocr", "rapidocr-onnxruntime"),
    *("triton", "cupy-cuda12x", "cupy-cuda13x"),
)
CANNOT = 77
"""Exit status of a script that cannot measure on this machine; make bench goes on with the next."""


def arguments(
    description: str | None,
    *,
    engines: Sequence[str] = (),
    limit: str | None = None,
    quick: bool = False,
) -> argparse.Namespace:
    """The options of a script: --data, the folder of the research datasets, for all.

    Args:
        engines: also --ocr, one of these, to be given several times.
        limit: also --limit, for a trial; this says of what.
        quick: also --quick, for a trial.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of datasets"
    )
    if engines:
        parser.add_argument("--ocr", action="append", choices=engines, help="may come again; all by default")
    if limit is not None:
        parser.add_argument("--limit", type=int, help=f"{limit}, for a trial that is not kept")
    if quick:
        parser.add_argument("--quick", action="store_true", help="a short trial that is not kept")
    options = parser.parse_args()
    if limit is not None and options.limit is not None and options.limit < 1:
        parser.error(f"--limit: expected at least 1, got {options.limit}")
    return options


def dataset(options: argparse.Namespace, name: str) -> Path:
    """Path of a dataset; stops with a message where it is absent."""
    path: Path = options.data / name
    if not path.exists():
        raise SystemExit(f"{name} is not in {options.data}; name its folder with --data")
    return path


def skip(reason: str) -> NoReturn:
    """Stop: nothing is measured, and nothing kept."""
    print(f"not measured: {reason}", file=sys.stderr)
    raise SystemExit(CANNOT)


def seconds(work: Callable[[], Any], *, repeats: int, warm_up: int = 2) -> list[float]:
    """Wall-clock times of ``repeats`` runs after ``warm_up`` uncounted ones."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(repeats):
        started = perf_counter()
        work()
        times.append(perf_counter() - started)
    return times


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, and the 10th and 90th percentile."""
    tenths = statistics.quantiles(values, n=10)
    return {"median": statistics.median(values), "p10": tenths[0], "p90": tenths[-1], "runs": len(values)}


def keep(name: str, result: dict[str, Any], *, trial: bool = False, last: bool = True) -> None:
    """Print a result, and keep all but a trial in benchmarks/results/NAME.json with its circumstances.

    Args:
        last: False for what is measured so far, in case that the rest never is; it is not printed.
    """
    if trial:
        if last:
            print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    record = {"benchmark": name, **_context(), "result": result}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    if not last:
        return
    print(json.dumps(result, indent=2, ensure_ascii=False))
    print(f"kept in {path.relative_to(ROOT)}")


def _context() -> dict[str, Any]:
    # A copy on a machine of its own has no history; who takes it there can say which commit it is.
    commit = _git("rev-parse", "--short", "HEAD") or os.environ.get("COMMIT", "unknown")
    # What the benchmarks write themselves does not make the code another one.
    if _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!README.md"):
        commit += "-dirty"
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "commit": commit,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return ""
    return done.stdout.strip()


def _processor() -> str:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown processor"
    return "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "unknown vector unit"
