"""Word accuracy of unmodified OCR engines with and without the shipped rectifier, on real crops."""

from __future__ import annotations

from itertools import islice
from typing import Any

import cv2
from _engines import open_engines
from _record import arguments, dataset, keep
from rich.progress import track

from stn_deploy.data import open_dataset
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.evaluation import Evaluation, Outcome, evaluate
from stn_deploy.runtime.ocr import READERS

SETS = ("icdar2015_test", "svt_test", "iiit5k_test")


def main() -> None:
    """Evaluate every set with every engine, with every crop straightened and gated as shipped."""
    options = arguments(__doc__, engines=READERS, limit="crops of each set")
    readers, missing = open_engines(options.ocr)
    rules = {"always straightened": Rectifier(threshold=0.0), "gated as shipped": Rectifier()}
    rows = []
    for name in SETS:
        with open_dataset(dataset(options, f"{name}.zip")) as samples:
            count = min(len(samples), options.limit or len(samples))
            for rule, rectifier in rules.items():
                crops = track(islice(samples, count), f"{name}, {rule}", total=count)
                rows += [row(name, rule, result) for result in evaluate(crops, rectifier, readers)]
    keep("accuracy", {"word_accuracy_percent": rows, "missing": missing}, trial=options.limit is not None)


def row(name: str, rule: str, result: Evaluation) -> dict[str, Any]:
    """One line of the result, in percent."""
    return {
        "set": name,
        "rule": rule,
        "engine": result.engine,
        "words": len(result.cases),
        "straightened": round(100 * result.applied, 1),
        "unreadable": len(result.unreadable),
        "raw": round(100 * result.raw_accuracy, 2),
        "rectified": shown(result.rectified),
        "second_opinion": shown(result.second_opinion),
    }


def shown(outcome: Outcome) -> dict[str, Any]:
    return {
        "accuracy": round(100 * outcome.accuracy, 2),
        "gain_interval_95": [round(100 * end, 2) for end in outcome.interval],
        "fixed": len(outcome.fixed),
        "broken": len(outcome.broken),
    }


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
