"""Which limits of the gate serve all engines, on training crops that the shipped rectifier never saw.

Reads every crop as it is and straightened, then counts for each set of limits the words gained and lost.
Those that ship are `stn_deploy.artifact.spec.GATE`; the file of readings lets one ask again quickly.
"""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from _engines import open_engines
from _record import ROOT, arguments, dataset, keep
from numpy.typing import NDArray
from rich.progress import track

from stn_deploy.artifact.spec import GATE
from stn_deploy.data import open_dataset
from stn_deploy.export import export_rectifier, rectifier_from_artifact
from stn_deploy.geometry import measure_text_lines, pixels_from_normalised
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier
from stn_deploy.runtime.ocr import READERS, comparable
from stn_deploy.training import find_recipe, load_real_words
from stn_deploy.training.validation import hold_out

MARGINS = (0.1, 0.15, 0.2)
TILTS, SAGS, TAPERS = (
    (3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 13.0),
    (0.07, 0.1, 0.13, 0.17, 0.22),
    (0.15, 0.22, 0.3, 0.4),
)
ALLOWED_LOSS = 0.2
KEPT = ROOT / "build" / "gate.pickle"


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A crop of a set and its label."""

    set: str
    image: NDArray[np.uint8]
    label: str


def main() -> None:
    """Read, or take the readings of before; then compare limits."""
    options = arguments(__doc__, engines=READERS, limit="crops of each set")
    crops = held_out_crops(options)
    readers, _ = open_engines(options.ocr)
    names = [reader.name for reader in readers]
    del readers
    spec = Rectifier().spec
    key = (spec.digest, len(crops), tuple(names), MARGINS)
    found = pickle.loads(KEPT.read_bytes()) if KEPT.exists() else {}
    if found.get("key") != key:
        found = {"key": key, **read_all(crops, options.ocr)}
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_bytes(pickle.dumps(found))
    sets = np.array([crop.set for crop in crops])
    measures = shapes(crops)
    result: dict[str, Any] = {"crops": {name: int((sets == name).sum()) for name in np.unique(sets)}}
    for margin in MARGINS:
        gains = found[margin].astype(float) - found["raw"]
        rows = [
            row(limits, measures, gains, sets, names) for limits in itertools.product(TILTS, SAGS, TAPERS)
        ]
        harmless = [entry for entry in rows if entry["worst"] >= -ALLOWED_LOSS]
        best = max(harmless or rows, key=lambda entry: entry["mean_gain"])
        result[f"margin {margin}"] = {
            "always": gained(np.ones(len(crops), bool), gains, sets, names),
            "best": best,
            "as shipped": row(
                (GATE["tilt_degrees"], GATE["sag"], GATE["taper"]), measures, gains, sets, names
            ),
        }
    keep("gate", result, trial=options.limit is not None)


def held_out_crops(options: Any) -> list[Crop]:
    """Training crops that were not trained on: some of icdar2015_train, and the sets without quads."""
    with open_dataset(dataset(options, "icdar2015_train.zip")) as samples:
        words, _ = load_real_words(samples)
    _, held = hold_out(words, find_recipe("default"))
    crops = [Crop(set="icdar2015_train, held out", image=word.image, label=word.text) for word in held]
    for name in ("iiit5k_train", "svt_train"):
        with open_dataset(dataset(options, f"{name}.zip")) as samples:
            crops += [Crop(set=name, image=sample.image(), label=sample.text) for sample in samples]
    crops = [crop for crop in crops if comparable(crop.label)]
    if options.limit is None:
        return crops
    names = dict.fromkeys(crop.set for crop in crops)
    return [crop for name in names for crop in [c for c in crops if c.set == name][: options.limit]]


def read_all(crops: list[Crop], engines: list[str] | None) -> dict[Any, NDArray[np.bool_]]:
    """Which crops each engine reads right, (crops, engines): raw, and straightened with each margin."""
    images = [crop.image for crop in crops]
    pictures: dict[Any, list[NDArray[np.uint8]]] = {"raw": images}
    rectifier = rectifier_from_artifact(DEFAULT_MODEL)
    for margin in MARGINS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rectifier.onnx"
            rectifier.spec = replace(rectifier.spec, margin=margin)
            export_rectifier(rectifier, path)
            pictures[margin] = [each.image for each in Rectifier(path, threshold=0.0)(images)]
    labels = [crop.label for crop in crops]
    context = multiprocessing.get_context("spawn")
    with context.Pool(initializer=_open, initargs=(engines,)) as workers:
        return {
            kind: np.array(
                list(
                    track(
                        workers.imap(_right, zip(shown, labels, strict=True), chunksize=16),
                        f"reading, {kind}",
                        total=len(crops),
                    )
                )
            )
            for kind, shown in pictures.items()
        }


_readers: list[Any] = []


def _open(engines: list[str] | None) -> None:
    cv2.setNumThreads(1)
    _readers[:] = open_engines(engines)[0]


def _right(job: tuple[NDArray[np.uint8], str]) -> list[bool]:
    image, label = job
    return [comparable(reader.read(image).text) == comparable(label) for reader in _readers]


def shapes(crops: list[Crop]) -> dict[str, NDArray[np.float64]]:
    """Tilt in degrees, sag and taper of the text in each crop."""
    found = Rectifier(threshold=0.0)([crop.image for crop in crops])
    measures = [measure_text_lines(pixels_from_normalised(each.theta, each.source_size)) for each in found]
    # theta has the margin in it: the text itself is lower, so its sag is more of it.
    larger = 1 + 2 * Rectifier().spec.margin
    return {
        "tilt": np.array([abs(np.degrees(each.tilt)) for each in measures]),
        "sag": np.array([each.sag * larger for each in measures]),
        "taper": np.array([each.taper for each in measures]),
    }


def row(
    limits: tuple[float, float, float],
    measures: dict[str, NDArray[np.float64]],
    gains: NDArray[np.float64],
    sets: NDArray[np.str_],
    names: list[str],
) -> dict[str, Any]:
    """What a gate of these limits gains, percent of the words of each set."""
    applied = np.any([measures[name] >= limit for name, limit in zip(measures, limits, strict=True)], axis=0)
    return {"tilt_degrees": limits[0], "sag": limits[1], "taper": limits[2]} | gained(
        applied, gains, sets, names
    )


def gained(
    applied: NDArray[np.bool_], gains: NDArray[np.float64], sets: NDArray[np.str_], names: list[str]
) -> dict[str, Any]:
    """Gain in percent of the words of each set by each engine; its mean and its worst."""
    table = {
        name: {
            engine: round(100 * float((gains[sets == name, index] * applied[sets == name]).mean()), 2)
            for index, engine in enumerate(names)
        }
        for name in np.unique(sets)
    }
    values = [value for per_engine in table.values() for value in per_engine.values()]
    return {
        "straightened": round(100 * float(applied.mean()), 1),
        "gain": table,
        "mean_gain": round(float(np.mean(values)), 3),
        "worst": min(values),
    }


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
