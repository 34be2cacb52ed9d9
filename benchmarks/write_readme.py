"""Writes the figures of the README and of docs/ from ``results/*.json``; a test compares the two."""

from __future__ import annotations

import json
from typing import Any

from _record import RESULTS, ROOT

BEGIN, END = "<!-- figures: benchmarks/write_readme.py -->", "<!-- end of figures -->"


def main() -> None:
    """Replace what stands between the two marks of each page."""
    for name, section in sections().items():
        path = ROOT / name
        before, rest = path.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
        path.write_text(f"{before}{section}{after}", encoding="utf-8")


def sections() -> dict[str, str]:
    """The figures of each page, in Markdown, with their marks."""
    pages = {
        "README.md": [accuracy(), synthetic(), speed()],
        "docs/spatial_transformer.md": [transformer()],
    }
    return {name: "\n".join([BEGIN, "\n\n".join(parts), END]) for name, parts in pages.items()}


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


def transformer() -> str:
    """Grid and sample."""
    record = load("transformer")
    result = record["result"]
    settings = ("64 x 3x64x256 -> 32x100", "256 x 1x28x28")
    lines = []
    for transform in ("affine", "thin-plate spline"):
        first = result[f"{transform}, {settings[0]}, 1 thread"]["forward and backward, image"]
        rivals = list(first["times_as_fast_as"])
        lines += [
            f"| {transform} | stn-deploy, ms | {' | '.join(rivals)} |",
            "|---" * (2 + len(rivals)) + "|",
        ]
        for setting in settings:
            for source in ("image", "feature map"):
                runs = [
                    result[f"{transform}, {setting}, {threads}"][f"forward and backward, {source}"]
                    for threads in ("1 thread", "2 threads")
                ]
                ours = " / ".join(f"{run['ms']['stn-deploy']['median']:.1f}" for run in runs)
                times = (
                    " / ".join(f"{run['times_as_fast_as'][rival]['median']:.2f}" for run in runs)
                    for rival in rivals
                )
                lines.append(f"| {setting}, {source} | {ours} | {' | '.join(times)} |")
        lines.append("")
    memory = [
        f"{name.split(',')[0]} {values['stn-deploy']:.2f}"
        for name, values in result.items()
        if "memory" in name and settings[0] in name
    ]
    return "\n".join(
        [
            "Grid and sample, forward and backward, with 1 / 2 threads: milliseconds, and how many times as "
            "long the others take (medians of the ratios within one run). A feature map needs its own "
            "gradient, an image does not.",
            "",
            *lines,
            "The last column is the sampler of torch alone, its grid a gift: the bound for whoever uses it. "
            "With the gradient of a large source it is nearly all there is: there no grid generator before "
            "it can make the whole twice as fast as TRBA's.",
            "",
            f"A forward pass holds one grid and one output above its input: {', '.join(memory)} times that. "
            f"Measured on {record['machine']}, torch {record['versions']['torch']}, by "
            "[benchmarks/transformer.py](../benchmarks/transformer.py).",
        ]
    )


if __name__ == "__main__":
    main()
