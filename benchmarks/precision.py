"""The shipped rectifier in fp32, fp16 and int8: control points, size, speed on the CPU, words read."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import onnx
from _engines import open_engines
from _record import arguments, dataset, keep, seconds, spread
from rich.progress import track

from stn_deploy.artifact import read_artifact
from stn_deploy.data import open_dataset
from stn_deploy.export.crops import Crops, crops_of, load_crops
from stn_deploy.export.passes.rewrite import write_artifact
from stn_deploy.export.precision import LARGEST_ERROR, theta_error, write_in_precision
from stn_deploy.export.rounding import with_roundings
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier
from stn_deploy.runtime.engines.ort import OrtLocaliser
from stn_deploy.runtime.evaluation import evaluate
from stn_deploy.runtime.ocr import READERS

N, ROUNDS, REPEATS = 64, 60, 5
TRAIN, TEST = "icdar2015_train", "icdar2015_test"


def main() -> None:
    """Calibrate on the training set, measure all on the test set."""
    options = arguments(__doc__, engines=READERS, limit="crops of the test set")
    readers, missing = open_engines(options.ocr)
    _, spec = read_artifact(DEFAULT_MODEL)
    calibration, _ = load_crops(dataset(options, f"{TRAIN}.zip"), spec)
    with TemporaryDirectory() as name, open_dataset(dataset(options, f"{TEST}.zip")) as samples:
        count = min(len(samples), options.limit or len(samples))
        crops = crops_of([sample.image() for sample in islice(samples, count)], spec)
        files = {"float32": DEFAULT_MODEL}
        for precision in LARGEST_ERROR:
            files[precision] = Path(name, f"{precision}.onnx")
            write_in_precision(DEFAULT_MODEL, files[precision], precision, crops=calibration)
        computed = {**files, "float16": as_on_a_gpu(files["float16"], Path(name, "rounded.onnx"))}
        speeds = {f"{n} thread{'s' * (n > 1)}": speed(files, crops, n) for n in (1, 2)}
        errors = {key: error(path, crops) for key, path in computed.items() if key != "float32"}
        words: dict[str, dict[str, Any]] = {reader.name: {} for reader in readers}
        for precision, path in computed.items():
            rectifier = Rectifier(path)
            for result in evaluate(track(islice(samples, count), precision, total=count), rectifier, readers):
                words[result.engine]["raw"] = round(100 * result.raw_accuracy, 2)
                words[result.engine][precision] = round(100 * result.rectified.accuracy, 2)
        keep(
            "precision",
            {
                "bytes": {key: path.stat().st_size for key, path in files.items()},
                "theta_error": errors,
                "localisation": speeds,
                "word_accuracy_percent": words,
                "words": count,
                "calibrated_on": f"{len(calibration.halves()[0].sizes)} crops of {TRAIN}",
                "measured_on": TEST,
                "n": N,
                "missing": missing,
            },
            trial=options.limit is not None,
        )


def as_on_a_gpu(half: Path, target: Path) -> Path:
    """A file whose network rounds each result to half; ONNX Runtime would compute it in float32."""
    data, spec = read_artifact(half)
    model = with_roundings(onnx.load_from_string(data))
    del model.metadata_props[:]
    write_artifact(model, spec, target)
    return target


def error(path: Path, crops: Crops) -> dict[str, Any]:
    """Distance of the control points from those in float32."""
    reference, spec = read_artifact(DEFAULT_MODEL)
    return asdict(theta_error(reference, path.read_bytes(), spec, crops))


def speed(files: dict[str, Path], crops: Crops, threads: int) -> dict[str, Any]:
    """Images a second of the localisation alone, and how many times as many as in float32."""
    batch = next(crops.batches(N))
    running = {key: OrtLocaliser(path.read_bytes(), threads=threads) for key, path in files.items()}
    rates: dict[str, list[float]] = {key: [] for key in running}
    for _ in range(ROUNDS):
        for key, localiser in running.items():
            times = seconds(lambda run=localiser: run.localise(*batch), repeats=REPEATS, warm_up=1)
            rates[key].append(N * REPEATS / sum(times))
    exact = rates["float32"]
    return {
        "images_per_second": {key: spread(values) for key, values in rates.items()},
        "times_float32": {
            key: spread([a / b for a, b in zip(values, exact, strict=True)])
            for key, values in rates.items()
            if key != "float32"
        },
    }


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
