"""Word accuracy of Tesseract with and without the shipped rectifier, on real crops."""

from __future__ import annotations

from _record import arguments, dataset, keep
from rich.progress import track

from stn_deploy.data import open_dataset
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.evaluation import evaluate
from stn_deploy.runtime.ocr import open_reader

SETS = ("icdar2015_test", "svt_test", "iiit5k_test")


def main() -> None:
    """Evaluate every set, gated as shipped and with every crop straightened."""
    options = arguments(__doc__)
    reader = open_reader("tesseract")
    rules = {"gated as shipped": Rectifier(), "always straightened": Rectifier(threshold=0.0)}
    results = []
    for name in SETS:
        with open_dataset(dataset(options, f"{name}.zip")) as samples:
            for rule, rectifier in rules.items():
                result = evaluate(track(samples, f"{name}, {rule}", total=len(samples)), rectifier, reader)
                low, high = result.gain_interval()
                results.append(
                    {
                        "set": name,
                        "rule": rule,
                        "engine": result.engine,
                        "words": len(result.cases),
                        "raw": round(100 * result.raw_accuracy, 2),
                        "rectified": round(100 * result.rectified_accuracy, 2),
                        "gain_interval_95": [round(100 * low, 2), round(100 * high, 2)],
                        "fixed": len(result.fixed),
                        "broken": len(result.broken),
                        "straightened": round(100 * result.applied, 1),
                        "unreadable": len(result.unreadable),
                    }
                )
    keep("accuracy", {"word_accuracy_percent": results})


if __name__ == "__main__":
    main()
