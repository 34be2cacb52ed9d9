"""Writes the figures of the README and of docs/ from ``results/*.json``; a test compares the two."""

from __future__ import annotations

import json
from typing import Any

from _record import RESULTS, ROOT
from _runtime_page import runtime_section

BEGIN, END = "<!-- figures: benchmarks/write_readme.py -->", "<!-- end of figures -->"
GOAL = 90
"""Percent of the gap; what stays below is named."""


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
        "README.md": [accuracy(), synthetic(), control_points(), runtime_section(load)],
        "docs/guide.md": [precision()],
        "docs/spatial_transformer.md": [transformer()],
    }
    if (RESULTS / "plugins.json").exists():  # measured where a GPU is, which is not here
        pages["stn_deploy/plugins/README.md"] = [plugins()]
    return {name: "\n".join([BEGIN, "\n\n".join(parts), END]) for name, parts in pages.items()}


def load(name: str) -> dict[str, Any]:
    """What a benchmark kept."""
    record: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return record


def accuracy() -> str:
    """Real crops."""
    rows = load("accuracy")["result"]["word_accuracy_percent"]
    gated = [row for row in rows if row["rule"] == "gated as shipped"]
    lines = [
        "Word accuracy of unmodified OCR engines on real crops (percent; lower case, a-z and 0-9). One "
        "reading counts for each word; in the last column the more confident of those before and after.",
        "",
        "| set | engine | raw | with stn-deploy | gain, 95 % interval | fixed / broken | second opinion |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in gated:
        after, second = row["rectified"], row["second_opinion"]
        low, high = after["gain_interval_95"]
        lines.append(
            f"| {row['set']} | {row['engine']} | {row['raw']:.1f} | **{after['accuracy']:.1f}** "
            f"| {low:+.1f} to {high:+.1f} | {after['fixed']} / {after['broken']} "
            f"| {second['accuracy']:.1f} |"
        )
    shares = {
        row["set"]: f"{row['straightened']:.0f} % of the {row['words']} crops of {row['set']}"
        for row in gated
    }
    always: dict[str, list[str]] = {}
    for row in rows:
        if row["rule"] == "always straightened":
            always.setdefault(row["engine"], []).append(f"{row['rectified']['accuracy']:.1f}")
    ungated = "; ".join(f"{engine}: {', '.join(values)}" for engine, values in always.items())
    lines += [
        "",
        f"The gate straightens {', '.join(shares.values())}. With every crop straightened, the sets in the "
        f"same order give {ungated}.",
    ]
    return "\n".join(lines)


def synthetic() -> str:
    """Clean rendered words."""
    result = load("synthetic")["result"]
    engines = list(dict.fromkeys(row["engine"] for row in result["read_percent"]))
    cells: dict[str, list[str]] = {}
    short = []
    for row in result["read_percent"]:
        closed = row["gap_closed"]
        values = [f"{row[key]:.1f}" for key in ("distorted", "straightened", "perfectly undone")]
        part = "" if closed is None else f" ({closed:.0f} %)"
        cells.setdefault(row["distortion"], []).append(f"{values[0]} -> **{values[1]}** of {values[2]}{part}")
        if closed is not None and closed < GOAL:
            short.append(f"{row['distortion']} ({row['engine']}, {closed:.0f} %)")
    lines = [
        f"{result['words']} clean rendered words for each distortion, percent read: distorted -> "
        "**straightened** of perfectly undone, and how much of the gap between the outer two is closed:",
        "",
        f"| distortion | {' | '.join(engines)} |",
        "|---" * (1 + len(engines)) + "|",
        *(f"| {name} | {' | '.join(row)} |" for name, row in cells.items()),
        "",
        "The angle of an arc is its opening; `perspective .4` makes one end 2.3 times as high as the other, "
        "`.6` four times; `wave .4` moves letters up and down by 0.4 of their height; perfectly undone is "
        "the same word drawn straight.",
    ]
    if short:
        lines += ["", f"Less than {GOAL} % of the gap is closed for {', '.join(short)}."]
    return "\n".join(lines)


def control_points() -> str:
    """Distance from the true edges of the text."""
    sets = load("control_points")["result"]["sets"]
    rivals = list(next(iter(sets.values()))["error_in_text_heights"])
    lines = [
        "Distance of the control points from the true edges of the text, in text heights: mean (95 % "
        "interval) / median / 90th percentile of the crops:",
        "",
        f"| crops | {' | '.join(rivals)} |",
        "|---" * (1 + len(rivals)) + "|",
    ]
    for name, result in sets.items():
        cells = [_distances(error) for error in result["error_in_text_heights"].values()]
        lines.append(f"| {result['crops']} of {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _distances(error: dict[str, Any]) -> str:
    low, high = error["mean_95"]
    return f"{error['mean']:.3f} ({low:.3f} to {high:.3f}) / {error['median']:.3f} / {error['p90']:.3f}"


def precision() -> str:
    """Lower precision."""
    record = load("precision")
    result = record["result"]
    kinds = ("float32", "float16", "int8")
    errors = result["theta_error"]
    rows = {"file, MB": [f"{result['bytes'][kind] / 1e6:.2f}" for kind in kinds]}
    for threads, measured in result["localisation"].items():
        rates, times = measured["images_per_second"], measured["times_float32"]
        rows[f"localisation on the CPU, images/s, {threads}"] = [
            f"{rates[kind]['median']:,.0f}"
            + (f" ({times[kind]['median']:.2f} times)" if kind in times else "")
            for kind in kinds
        ]
    for unit, name in (("pixels", "source pixels"), ("heights", "text heights")):
        rows[f"control points, {name}, mean / 99 % / worst"] = [
            _rounding(errors[kind][unit]) if kind in errors else "" for kind in kinds
        ]
    rows["straightened by this file or by float32 alone"] = [
        f"{errors[kind]['flips']:.2%}" if kind in errors else "" for kind in kinds
    ]
    for engine, read in result["word_accuracy_percent"].items():
        name = f"words read by {engine}, {read['raw']:.1f} % raw"
        rows[name] = [f"{read[kind]:.1f} %" for kind in kinds]
    return "\n".join(
        [
            f"The shipped rectifier, calibrated on {result['calibrated_on']}, measured on the "
            f"{result['words']} of {result['measured_on']}:",
            "",
            "| | fp32 | fp16 | int8 |",
            "|---|---|---|---|",
            *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()),
            "",
            "Control points and words of fp16 are those of a GPU, which rounds each result to half; ONNX "
            f"Runtime on the CPU does not. Measured on {record['machine']}, ONNX Runtime "
            f"{record['versions']['onnxruntime']}, N = {result['n']}, by "
            "[benchmarks/precision.py](../benchmarks/precision.py).",
        ]
    )


def _rounding(error: dict[str, float]) -> str:
    return f"{error['mean']:.4f} / {error['p99']:.3f} / {error['worst']:.2f}"


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


def plugins() -> str:
    """The fused kernel on a GPU."""
    record = load("plugins")
    result = record["result"]
    rivals = list(
        dict.fromkeys(name for row in result["settings"].values() for name in row["times_as_fast_as"])
    )
    lines = [
        "Microseconds on the device (median), what share of the bandwidth of a copy that is on the bytes "
        "that must move (U read once, V written once), how much more than an empty launch, and how many "
        "times as long others take in the same run:",
        "",
        f"| N x U -> V | us | of a copy | above a launch, us | {' | '.join(rivals)} |",
        "|---" * (4 + len(rivals)) + "|",
    ]
    for name, row in result["settings"].items():
        ours, share = row["us"]["stn-deploy"]["median"], row["share_of_copy_bandwidth"]["median"]
        times = (
            f"{row['times_as_fast_as'][rival]['median']:.1f}" if rival in row["times_as_fast_as"] else ""
            for rival in rivals
        )
        lines.append(
            f"| {name} | {ours:.1f} | {share:.0%} "
            f"| {row['us_above_an_empty_launch']['median']:.1f} | {' | '.join(times)} |"
        )
    training, calls = result.get("training"), result.get("host_us_of_a_call")
    if training:
        faster = ", ".join(
            f"{ratio['median']:.1f} times as fast as {name}"
            for name, ratio in training["times_as_fast_as"].items()
        )
        ours = training["us"]["stn-deploy"]["median"]
        lines += ["", f"Forward and backward, {training['setting']}: {ours:.0f} us, {faster}."]
    if calls:
        spent = ", ".join(f"{name} {value['median']:.0f}" for name, value in calls.items())
        lines += ["", f"Microseconds of the host for a call of one image: {spent}."]
    if result.get("failed"):
        lines += ["", f"Not measured: {'; '.join(result['failed'])}."]
    missed = [goal for goal in result["goals"] if not goal["reached"]]
    if missed:
        shown = "; ".join(f"{goal['goal']} (found {goal['found']:.2f})" for goal in missed)
        lines += ["", f"Not reached: {shown}."]
    gpu = result["gpu"]
    lines += [
        "",
        f"Measured on {gpu['name']}, driver {gpu['driver']}, torch {record['versions']['torch']}, by "
        "[benchmarks/plugins.py](../../benchmarks/plugins.py).",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
