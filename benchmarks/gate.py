"""Which limits of the gate serve all engines, on training crops that the shipped rectifier never saw.

Reads every crop as it is and straightened, then counts for each set of limits the words gained and lost.
Those that ship are `stn_deploy.artifact.spec.GATE`; the file of readings lets one ask again quickly.
"""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from _engines import open_engines
from _record import ROOT, arguments, dataset, keep
from numpy.typing import NDArray
from rich.progress import track
from torch.nn.functional import binary_cross_entropy_with_logits

from stn_deploy.artifact.spec import GATE
from stn_deploy.data import open_dataset, read_image
from stn_deploy.export import export_rectifier, rectifier_from_artifact
from stn_deploy.geometry import measure_text_lines, pixels_from_normalised
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier
from stn_deploy.runtime.ocr import READERS, comparable
from stn_deploy.training import find_recipe, load_real_words
from stn_deploy.training.validation import hold_out

MARGINS = (0.1, 0.15, 0.2)
LIMITS = {
    "tilt_degrees": (3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 13.0),
    "sag": (0.07, 0.1, 0.15, 0.22),
    "taper": (0.15, 0.22, 0.3, 0.4),
    "short": (0.01, 1.0, 1.5, 2.0, 3.0),
    "long": (3.0, 5.0, 8.0, np.inf),
}
FOLDS = 5
LARGE = 40.0
"""Pixels. Higher text is shown smaller in the straightened crop."""
LINES = 900
SMALL = {"tilt_degrees": 1.0, "sag": 0.03, "taper": 0.05} | dict.fromkeys(
    ("height_pixels", "length", "crop_height", "crop_length"), 0.0
)
"""Added before the logarithm."""
KEPT = ROOT / "build" / "gate.pickle"
Measures = dict[str, NDArray[np.float64]]


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
        readings = Readings(raw=found["raw"], straightened=found[margin], sets=sets, engines=names)
        result[f"margin {margin}"] = compared(readings, measures)
    keep("gate", result, trial=options.limit is not None)


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Which words were read right, (crops, engines), raw and straightened; the set of each crop."""

    raw: NDArray[np.bool_]
    straightened: NDArray[np.bool_]
    sets: NDArray[np.str_]
    engines: list[str]

    @property
    def gains(self) -> NDArray[np.float64]:
        """1 for a word gained, -1 for one lost, (crops, engines)."""
        return self.straightened.astype(float) - self.raw

    @property
    def weighed(self) -> NDArray[np.float64]:
        """What straightening a crop adds to the mean gain over sets and engines, percent, (crops,)."""
        names, counts = np.unique(self.sets, return_counts=True)
        share = dict(zip(names, 100 / (counts * len(names)), strict=True))
        return np.asarray(self.gains.mean(axis=1) * [share[name] for name in self.sets])

    def gained(self, applied: NDArray[np.bool_]) -> dict[str, Any]:
        """Gain in percent of the words of each set by each engine, where so many crops are straightened."""
        return {
            "mean_gain": round(float(self.weighed @ applied), 3),
            "gain": self.by_set(self.gains * applied[:, None]),
            "straightened": {
                name: round(100 * float(applied[self.sets == name].mean()), 1)
                for name in np.unique(self.sets)
            },
        }

    def by_set(self, values: NDArray[Any]) -> dict[str, dict[str, float]]:
        """Means of (crops, engines) in percent."""
        return {
            name: {
                engine: round(100 * float(values[self.sets == name, index].mean()), 2)
                for index, engine in enumerate(self.engines)
            }
            for name in np.unique(self.sets)
        }


def compared(readings: Readings, measures: Measures) -> dict[str, Any]:
    """Gates of several kinds; those with a choice in them as they would do on crops not chosen by."""
    names = tuple(GATE)
    limits = np.array(list(itertools.product(*(LIMITS[name] for name in names))))
    gates = np.array([over(dict(zip(names, each, strict=True)), measures) for each in limits])
    by_shape = (limits[:, names.index("short")] < 0.1) & np.isinf(limits[:, names.index("long")])
    folds = np.random.default_rng(0).integers(FOLDS, size=len(readings.sets))

    def chosen(allowed: NDArray[np.bool_], among: NDArray[np.bool_]) -> int:
        return int(np.argmax(np.where(allowed, gates[:, among] @ readings.weighed[among], -np.inf)))

    def cross_validated(allowed: NDArray[np.bool_]) -> dict[str, Any]:
        applied = np.zeros(len(folds), bool)
        for fold in range(FOLDS):
            inside = folds == fold
            applied[inside] = gates[chosen(allowed, ~inside)][inside]
        return readings.gained(applied)

    every = np.ones(len(limits), bool)
    every_crop = np.ones(len(folds), bool)
    best = chosen(every, every_crop)
    return {
        "read raw": readings.by_set(readings.raw),
        "read straightened": readings.by_set(readings.straightened),
        "either right": readings.by_set(readings.raw | readings.straightened),
        "gates": {
            "always": readings.gained(every_crop),
            "as shipped": GATE | readings.gained(over(GATE, measures)),
            "as shipped, but for the length": readings.gained(
                over(GATE | {"short": 0.01, "long": np.inf}, measures)
            ),
            "as shipped, and all large text": readings.gained(
                over(GATE, measures) | (measures["height_pixels"] >= LARGE)
            ),
            "best": dict(zip(names, limits[best].tolist(), strict=True)) | readings.gained(gates[best]),
            "cross-validated limits": cross_validated(every),
            "cross-validated limits, but for the length": cross_validated(by_shape),
            "cross-validated logistic regression": readings.gained(learnt(readings, measures, folds)),
        },
    }


def over(limits: Mapping[str, float], measures: Measures) -> NDArray[np.bool_]:
    """Which crops reach any limit; see `stn_deploy.training.gate.gate_score`."""
    length = measures["length"]
    tilt = np.tan(np.radians(measures["tilt_degrees"] / 2)) * np.minimum(length / limits["short"], 1)
    sag = measures["sag"] / np.maximum(length / limits["long"], 1)
    return (
        (tilt >= np.tan(np.radians(limits["tilt_degrees"] / 2)))
        | (sag >= limits["sag"])
        | (measures["taper"] >= limits["taper"])
    )


def learnt(readings: Readings, measures: Measures, folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The decision of a logistic regression on the logarithms of all measures, fitted on the other folds."""
    logs = np.stack([np.log(values + SMALL[name]) for name, values in measures.items()], axis=1)
    inputs = torch.from_numpy((logs - logs.mean(axis=0)) / logs.std(axis=0))
    gain = torch.from_numpy(readings.weighed)
    applied = np.zeros(len(folds), bool)
    for fold in range(FOLDS):
        inside = folds == fold
        constant, *slopes = logistic_regression(inputs[~inside], gain[~inside])
        applied[inside] = (inputs[inside] @ torch.stack(slopes) + constant > 0).numpy()
    return applied


def logistic_regression(inputs: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """Constant and slopes: whether the gain is above 0, weighted by how far it is from 0."""
    weight, helps = gain.abs() / gain.abs().sum(), (gain > 0).double()
    parameters = torch.zeros(inputs.shape[1] + 1, dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=200)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ parameters[1:] + parameters[0]
        each = binary_cross_entropy_with_logits(logits, helps, reduction="none")
        value = (weight * each).sum() + 1e-2 * parameters[1:].square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return parameters.detach()


def held_out_crops(options: Any) -> list[Crop]:
    """Crops that were not trained on: some of icdar2015_train, the sets without quads, lines of receipts."""
    with open_dataset(dataset(options, "icdar2015_train.zip")) as samples:
        words, _ = load_real_words(samples)
    _, held = hold_out(words, find_recipe("default"))
    crops = [Crop(set="icdar2015_train, held out", image=word.image, label=word.text) for word in held]
    for name in ("iiit5k_train", "svt_train"):
        with open_dataset(dataset(options, f"{name}.zip")) as samples:
            crops += [Crop(set=name, image=sample.image(), label=sample.text) for sample in samples]
    crops += receipt_lines(dataset(options, "receipts"))
    crops = [crop for crop in crops if comparable(crop.label)]
    if options.limit is None:
        return crops
    names = dict.fromkeys(crop.set for crop in crops)
    return [crop for name in names for crop in [c for c in crops if c.set == name][: options.limit]]


def receipt_lines(folder: Path) -> list[Crop]:
    """Straight lines of scanned receipts: straightening can only harm them."""
    crops = []
    for labels in sorted(folder.glob("*.csv")):
        page = read_image(labels.with_suffix(".jpg"))
        for line in labels.read_text(errors="replace").splitlines():
            *corners, text = line.split(",", 8)
            if len(corners) < 8:
                continue
            quad = np.array(corners, int).reshape(4, 2)
            (left, top), (right, bottom) = np.maximum(quad.min(axis=0) - 2, 0), quad.max(axis=0) + 2
            image = np.ascontiguousarray(page[top:bottom, left:right])
            if min(image.shape[:2]) >= 6 and comparable(text):
                crops.append(Crop(set="receipts", image=image, label=text))
    chosen = np.random.default_rng(0).permutation(len(crops))[:LINES]
    return [crops[index] for index in chosen]


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


def shapes(crops: list[Crop]) -> Measures:
    """The measures of the gate for the text in each crop, and others that a learnt gate may look at."""
    rectifier = Rectifier(threshold=0.0)
    found = rectifier([crop.image for crop in crops])
    lines = [measure_text_lines(pixels_from_normalised(each.theta, each.source_size)) for each in found]
    # theta has the margin in it: the text itself is lower, so its sag is more of it.
    margin = rectifier.spec.margin
    height = np.array([each.height for each in lines]) / (1 + 2 * margin)
    length = np.maximum(np.array([each.length for each in lines]) - 2 * margin * height, 0.2 * height)
    sizes = np.array([each.source_size for each in found])
    return {
        "tilt_degrees": np.array([abs(np.degrees(each.tilt)) for each in lines]),
        "sag": np.array([each.sag * (1 + 2 * margin) for each in lines]),
        "taper": np.array([each.taper for each in lines]),
        "height_pixels": height,
        "length": length / height,
        "crop_height": sizes[:, 0] / height,
        "crop_length": sizes[:, 1] / length,
    }


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
