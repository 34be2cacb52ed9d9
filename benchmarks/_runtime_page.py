"""The figures of the runtime as the README shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Load = Callable[[str], dict[str, Any]]


def runtime_section(load: Load) -> str:
    """Speed, memory and parity; goals of the runtime that were missed as well.

    Args:
        load: what a benchmark of a name kept.
    """
    record = load("runtime")
    result = record["result"]
    rectify = load("footprint")["result"]["rectify"]
    lines = [
        "| on a CPU | measured | goal |",
        "|---|---|---|",
        *(_goal_row(goal) for goal in result["goals"]),
        f"| `rectify` on all {rectify['images']} crops of icdar2015_test | {rectify['failures']} failures, "
        f"{rectify['peak_memory_megabytes']:.0f} MB at the peak | |",
        f"| torch, full graph, split CPU path: largest difference | {_differences(load('parity'))} | |",
        "",
        "| images/s, median | 1 thread | 2 threads | JPEG files, 2 threads |",
        "|---|---|---|---|",
        *_rate_rows(result),
        "",
        f"Measured on: {record['machine']}, Python {record['python']}. Scripts and method: "
        "[benchmarks/](benchmarks).",
    ]
    return "\n".join(lines)


def _goal_row(goal: dict[str, Any]) -> str:
    remark = goal["remark"].removeprefix("stn-deploy ")
    if goal["found"] is None:
        return f"| {goal['work']} | not measured: {remark} | {goal['goal']} |"
    found = f"**{goal['found']}**" if goal["reached"] else f"{goal['found']}, missed"
    return f"| {goal['work']} | {found} ({remark}) | {goal['goal']} |"


def _rate_rows(result: dict[str, Any]) -> list[str]:
    """A row for each candidate, in the order in which they were first measured."""
    parts = ("decoded, 1 thread", "decoded, 2 threads", "files, 2 threads")
    found = [result[part].get("images_per_second", {}) for part in parts]
    names = dict.fromkeys(name for rates in found for name in rates)
    return [
        f"| {name} | "
        + " | ".join(f"{rates[name]['median']:,.0f}" if name in rates else "" for rates in found)
        + " |"
        for name in names
    ]


def _differences(record: dict[str, Any]) -> str:
    parity = [item for items in record["result"].values() for item in items]
    crops = [item for item in parity if item["theta"] is not None]
    split = max(item["pixels"] for item in crops if "split" in item["path"])
    full = max(item["pixels"] for item in crops if "full" in item["path"])
    theta, in_pixels = (max(item[name] for item in crops) for name in ("theta", "theta_pixels"))
    hostile = max(item["pixels"] for item in parity if item["theta"] is None)
    return (
        f"theta {theta:.0e} ({in_pixels:.0e} source pixels), pixels {full:.3f} and {split:.2f} of 255; with "
        f"hostile thetas {hostile:.2f}"
    )
