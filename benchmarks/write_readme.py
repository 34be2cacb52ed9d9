"""Writes the figures of the README from ``results/*.json``; a test compares the two."""

from __future__ import annotations

import json
from typing import Any

from _record import RESULTS, ROOT

BEGIN, END = "<!-- figures: benchmarks/write_readme.py -->", "<!-- end of figures -->"


def main() -> None:
    """Replace what stands between the two marks."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{figures()}\n{END}{after}", encoding="utf-8")


def figures() -> str:
    """The section of the README, in Markdown."""
    return "\n\n".join([accuracy(), synthetic(), speed()])


def load(name: str) -> dict[str, Any]:
    """What a benchmark kept."""
    record: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return record


def accuracy() -> str:
    """Real crops."""
    rows = load("accuracy")["result"]["word_accuracy_percent"]
    engine = rows[0]["engine"]
    lines = [
        f"Word accuracy of an unmodified {engine} on real crops (percent; lower case, a-z and 0-9):",
        "",
        "| set | words | raw | with stn-deploy | gain, 95 % interval | fixed / broken words | straightened |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["rule"] != "gated as shipped":
            continue
        low, high = row["gain_interval_95"]
        lines.append(
            f"| {row['set']} | {row['words']} | {row['raw']:.1f} | **{row['rectified']:.1f}** "
            f"| {low:+.1f} to {high:+.1f} | {row['fixed']} / {row['broken']} | {row['straightened']:.0f} % |"
        )
    always = ", ".join(
        f"{row['set']} {row['rectified']:.1f} ({row['fixed']} / {row['broken']})"
        for row in rows
        if row["rule"] == "always straightened"
    )
    return "\n".join([*lines, "", f"Straightening every crop, without the gate, gives {always}."])


def synthetic() -> str:
    """Clean rendered words."""
    result = load("synthetic")["result"]
    lines = [
        f"{result['words']} clean rendered words for each distortion, percent read by {result['engine']}:",
        "",
        "| distortion | distorted | straightened | perfectly undone |",
        "|---|---|---|---|",
    ]
    for row in result["read_percent"]:
        values = (f"{row[key]:.1f}" for key in ("distorted", "straightened", "perfectly undone"))
        lines.append(f"| {row['distortion']} | {' | '.join(values)} |")
    lines += [
        "",
        "The angle of an arc is its opening; `perspective .4` makes one end 2.3 times as high as the other; "
        "`wave .4` moves letters up and down by 0.4 of their height; the last column is the same word drawn "
        "straight.",
    ]
    lines += ["", "The waves are where it falls short: the network follows half a wave, not a whole one."]
    return "\n".join(lines)


def speed() -> str:
    """Speed, memory and parity."""
    throughput, footprint = load("throughput"), load("footprint")["result"]
    rates = {name: value["median"] for name, value in throughput["result"]["images_per_second"].items()}
    ours, fixed, gated, _, _, rival = rates.values()
    parity = [item for items in load("parity")["result"].values() for item in items]
    split = max(item["pixels"] for item in parity if "split" in item["path"])
    full = max(item["pixels"] for item in parity if "full" in item["path"])
    theta = max(item["theta"] for item in parity)
    found, box = load("control_points")["result"]["error_in_text_heights"].values()
    rectify = footprint["rectify"]
    lines = [
        "| on a CPU | |",
        "|---|---|",
        f"| decoded crops to straightened crops, N = 64, 1 thread | {ours:,.0f} images/s at natural width, "
        f"{fixed:,.0f} at 32x100, {gated:,.0f} behind the gate |",
        f"| the ASTER architecture in torch eager, same run | {rival:,.0f} images/s |",
        f"| `import stn_deploy.runtime` / first straightened image | "
        f"{footprint['import_runtime_seconds']['median']:.2f} s / "
        f"{footprint['import_and_first_image_seconds']['median']:.2f} s, without torch |",
        f"| `rectify` on all {rectify['images']} crops of icdar2015_test | {rectify['failures']} failures, "
        f"{rectify['peak_memory_megabytes']:.0f} MB at the peak |",
        f"| torch, full graph, split CPU path: largest difference | theta {theta:.0e}, pixels {full:.3f} "
        f"and {split:.2f} of 255 |",
        f"| control points against the true quads of icdar2015_test | {found['mean']:.3f} text heights; "
        f"the crop's box {box['mean']:.3f} |",
    ]
    machine = f"{throughput['machine']}, Python {throughput['python']}"
    return "\n".join([*lines, "", f"Measured on: {machine}. Scripts and method: [benchmarks/](benchmarks)."])


if __name__ == "__main__":
    main()
